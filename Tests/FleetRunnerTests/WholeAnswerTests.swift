import FleetTransport
import Testing

@testable import FleetRunner

/// What a program reads is whole, or an error.
struct WholeAnswerTests {
    private func take(_ text: String, into answer: WholeAnswer) {
        Array(text.utf8).withUnsafeBytes { answer.write($0) }
    }

    @Test("Longer than what people are shown, and still every byte")
    func whole() throws {
        let answer = WholeAnswer()
        let line = String(repeating: "a", count: 60) + "\trefs/tags/v1\n"
        for _ in 0..<10_000 { take(line, into: answer) }
        #expect(try answer.text().utf8.count == 10_000 * line.utf8.count)
    }

    @Test("Over the limit it is an error, and nothing of it is used")
    func tooLong() {
        let answer = WholeAnswer(limitBytes: 10)
        take("12345678901", into: answer)
        take("2", into: answer)
        #expect(throws: TransportError.answerTooLong(bytes: 12, limit: 10)) { try answer.text() }
        #expect(answer.tail(lines: 3) == "(12 bytes)")
    }
}
