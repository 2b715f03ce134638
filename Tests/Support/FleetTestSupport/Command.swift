import Foundation

/// A program run by a test, and how it ended.
public struct Command: Sendable {
    /// Its exit status, or minus the signal that ended it.
    public let status: Int32
    /// What it wrote to standard output.
    public let output: String
    /// What it wrote to standard error.
    public let errors: String

    /// Runs a program to its end.
    ///
    /// Output goes through files, so that a program that prints much never waits for its reader.
    @discardableResult
    public static func run(
        _ arguments: [String],
        in directory: String? = nil,
        environment: [String: String] = [:],
        input: String = ""
    ) throws -> Command {
        let scratch = try TemporaryDirectory()
        try scratch.write(input, to: "in")
        let status = try ChildProcess(
            arguments,
            in: directory,
            environment: environment,
            files: (scratch.path + "/in", scratch.path + "/out", scratch.path + "/err")
        ).wait()
        return Command(
            status: status,
            output: scratch.read("out") ?? "",
            errors: scratch.read("err") ?? ""
        )
    }

    /// Runs a shell script and insists on its success.
    @discardableResult
    public static func shell(_ script: String, in directory: String? = nil) throws -> String {
        let result = try run(["sh", "-euc", script], in: directory)
        guard result.status == 0 else {
            throw Failed(description: "`\(script)` exited \(result.status): \(result.errors)")
        }
        return result.output
    }

    /// A helper program that failed.
    public struct Failed: Error, CustomStringConvertible {
        /// What happened.
        public let description: String

        /// Says what happened.
        public init(description: String) { self.description = description }
    }
}

/// Waits until something is so, looking often; fails after a minute.
///
/// For what no event tells: a file or a process of a program that knows nothing of the test. What
/// the test's own code does is waited for by its own event.
public func eventually(_ what: String, _ isSo: () async throws -> Bool) async throws {
    for _ in 0..<6000 {
        if try await isSo() { return }
        // No event: whoever makes it so knows nothing of the test.
        try await Task.sleep(for: .milliseconds(10))
    }
    throw Command.Failed(description: "never happened: \(what)")
}

/// Where the package is.
public enum Package {
    /// The package's directory.
    public static let root = String(#filePath.prefix(upTo: rootEnd))

    private static var rootEnd: String.Index {
        let path = #filePath
        return path.range(of: "/Tests/Support/")?.lowerBound ?? path.endIndex
    }

    /// The built program: `FLEET_BINARY`, or the debug build.
    public static var binary: String {
        ProcessInfo.processInfo.environment["FLEET_BINARY"] ?? root + "/.build/debug/fleet"
    }
}
