public import FleetPlan

/// A question that a person must answer before an operation starts.
public enum Question: Sendable, Hashable {
    /// Whether to go on with a plan, yes or no.
    case confirm(Plan)
    /// Whether to go on with a plan; the person has to type the name of its protected environment.
    case typeName(Plan)
}

/// Answers questions, for example through a terminal or a browser.
public protocol Asker: Sendable {
    /// Asks a question and waits for the answer, without a time limit.
    ///
    /// - Returns: Whether the person agrees; nil if nobody can be asked.
    func agrees(to question: Question) async -> Bool?
}

/// A message that an operation sends while it works; no message is a result.
public enum Happening: Sendable, Hashable {
    /// What the operation is doing.
    case progress(String)
    /// Something that the operation found out.
    case note(String)
    /// What the operation is waiting for, possibly for a long time.
    case waiting(String)
    /// A problem that the user should know of, and what can be done about it.
    case warning(String, next: String? = nil)
}
