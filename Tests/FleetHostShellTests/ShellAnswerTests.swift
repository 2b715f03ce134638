import FleetHostShell
import Testing

/// What a line of the host's shell is taken for; what is none proves nothing.
struct ShellAnswerTests {
    @Test(
        "Every line is what it says, and nothing more",
        arguments: [
            ("END f0-1 3 17", ShellAnswer.ended(.exited(3), number: 17, outputBytes: 5)),
            ("END f0-1 gone 0", .ended(.gone, number: 0, outputBytes: 5)),
            ("END f0-1 fenced 0", .ended(.fenced, number: 0, outputBytes: 5)),
            ("SIZE f0-1 4096", .size(4096)), ("SUDO sudo", .asksPassword),
            ("NEVER f0-1", .neverStarted), ("DUPLICATE f0-1", .duplicate),
            ("NOSPOOL f0-1 /home/my app", .noSpool(home: "/home/my app")),
            ("NOSETSID f0-1", .noSetsid), ("STUCK f0-1", .stuck),
            ("END f0-1", .unclear("END f0-1")), ("END f0-1 3", .unclear("END f0-1 3")),
            ("END f0-1 three 0", .unclear("END f0-1 three 0")),
            ("END f0-1 0 x", .unclear("END f0-1 0 x")),
            ("END f0-1 0 0 0", .unclear("END f0-1 0 0 0")),
            ("SIZE f0-1 much", .unclear("SIZE f0-1 much")),
            ("NEVER f0-1 0", .unclear("NEVER f0-1 0")),
            ("STUCK f0-1 0", .unclear("STUCK f0-1 0")), ("OK f0-1", .unclear("OK f0-1")),
        ]
    )
    func reads(_ line: String, _ answer: ShellAnswer) {
        let words = line.split(separator: " ").map(String.init)
        #expect(ShellAnswer(words, outputBytes: 5) == answer)
    }
}
