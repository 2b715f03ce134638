internal import FleetDigest

/// A value as one line of JSON, with the version of its form in front.
public enum JSONLine {
    /// The version of every form that docs/json.md describes.
    ///
    /// It rises when a field is removed or changes its meaning, not when one is added.
    public static let version = 1

    /// The line.
    ///
    /// - Parameter value: A value that is encoded as an object.
    /// - Returns: UTF-8 with a line end.
    public static func bytes(of value: some Encodable) -> [UInt8] {
        let object = CanonicalJSON.encode(value)
        let isEmpty = object.count <= 2
        var line = Array("{\"v\":\(version)\(isEmpty ? "" : ",")".utf8)
        line += object.dropFirst()
        line.append(0x0A)
        return harmless(line)
    }

    /// GitHub's runner obeys `##[…]` wherever it stands in a line; as an escape it means the same to a reader of JSON.
    private static func harmless(_ line: [UInt8]) -> [UInt8] {
        guard line.contains(0x23) else { return line }
        let text = String(decoding: line, as: UTF8.self)
        return Array(text.replacing("##[", with: "#\\u0023[").utf8)
    }
}

/// Why a command ended before it changed anything, for other programs.
public struct FailureLine: Sendable, Encodable {
    /// A problem in a file.
    public struct Problem: Sendable, Encodable {
        /// The file.
        public let file: String
        /// The line, from 1.
        public let line: Int
        /// The column, from 1.
        public let column: Int
        /// What is wrong.
        public let message: String

        /// Describes a problem.
        public init(file: String, line: Int, column: Int, message: String) {
            self.file = file
            self.line = line
            self.column = column
            self.message = message
        }
    }

    /// Always `error`.
    public let type = "error"
    /// The exit status of the program.
    public let status: Int
    /// The error code that the message begins with, if it has one.
    public let code: String?
    /// What was found.
    public let message: String
    /// What can be done about it.
    public let hints: [String]
    /// Every problem in the project's files; nil if the failure is none of theirs.
    public let problems: [Problem]?

    /// Describes a failure.
    public init(status: Int, message: String, hints: [String], problems: [Problem]?) {
        self.status = status
        code = ErrorCatalog.code(in: message)
        self.message = message
        self.hints = hints
        self.problems = problems
    }
}
