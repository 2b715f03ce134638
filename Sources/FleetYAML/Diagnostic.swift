/// A place in a file that somebody wrote.
public struct SourceLocation: Sendable, Hashable {
    /// The file as the user named it.
    public let file: String
    /// The line, counted from 1.
    public let line: Int
    /// The column in characters, counted from 1.
    public let column: Int

    /// Names a place in a file.
    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }
}

/// One thing wrong with a file: what, where, and what to do about it.
public struct Diagnostic: Sendable, Hashable {
    /// What is wrong, in one sentence without a capital or a full stop.
    public let message: String
    /// Where, if the problem has a place.
    public let location: SourceLocation?
    /// What to do, at most a sentence each.
    public let hints: [String]

    /// Describes one problem.
    public init(_ message: String, at location: SourceLocation? = nil, hints: [String] = []) {
        self.message = message
        self.location = location
        self.hints = hints
    }
}

/// Everything wrong with the input, gathered before anything is refused.
///
/// Readers collect all problems and throw once, so that a user mends a file in one go.
public struct Diagnostics: Error, Sendable, Hashable {
    /// The problems, in the order of the file.
    public let all: [Diagnostic]
    /// The text of each file named by a location, for carets.
    public let sources: [String: String]

    /// Gathers problems with the texts they point into.
    public init(_ all: [Diagnostic], sources: [String: String] = [:]) {
        self.all = all
        self.sources = sources
    }

    /// Puts two sets of problems together, as when several files are checked.
    public func merging(_ other: Diagnostics) -> Diagnostics {
        Diagnostics(all + other.all, sources: sources.merging(other.sources) { first, _ in first })
    }
}
