import Glibc

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
}
