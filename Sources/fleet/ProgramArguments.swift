import ArgumentParser
import Glibc
import Synchronization

/// What the program was started with.
enum ProgramArguments {
    /// The words after the program's name.
    ///
    /// Swift 6.3 looks for them beside the environment. A preloaded library that has set a variable
    /// by then, as tsocks or libfaketime do, has moved that, and Swift finds no words at all: `fleet
    /// deploy` would be `fleet`. The kernel knows them (man 5 proc, `cmdline`).
    static let all: [String] = {
        let found = CommandLine.arguments
        return Array((found.isEmpty ? fromKernel() : found).dropFirst())
    }()

    private static func fromKernel() -> [String] {
        let file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return [] }
        defer { close(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while case let count = read(file, &piece, piece.count), count > 0 {
            bytes += piece[..<count]
        }
        // Each word ends with a zero byte.
        return bytes.split(separator: 0, omittingEmptySubsequences: false).dropLast()
            .map { String(decoding: $0, as: UTF8.self) }
    }

    private static let hidden = Mutex<[String]>([])

    /// Takes note of the variables that a command was given: their values may be secret, however they were
    /// written (`-e X=1`, `-e=X=1`, `-ye X=1`, `--var=X=1`).
    static func hide(variablesOf command: any ParsableCommand) {
        for child in Mirror(reflecting: command).children {
            guard let options = child.value as? OptionGroup<RolloutOptions> else { continue }
            hidden.withLock { $0 += options.wrappedValue.variables }
        }
    }

    /// The command line as it is recorded: without the values of variables.
    static var recorded: String {
        let variables = hidden.withLock { $0 }.sorted { $0.utf8.count > $1.utf8.count }
        return all.map { word in
            variables.reduce(word) { word, variable in
                word.replacing(variable, with: "\(variable.prefix { $0 != "=" })=***")
            }
        }.joined(separator: " ")
    }
}
