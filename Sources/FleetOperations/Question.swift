public import FleetPlan

/// What a use case has to know from a person before it starts.
public enum Question: Sendable, Hashable {
    /// Whether to go on: something was chosen for them.
    case confirm(Plan)
    /// The environment's name, typed: it is protected.
    case typeName(Plan)
}

/// Who answers questions: a person at a terminal, a browser, or nobody.
public protocol Asker: Sendable {
    /// Asks, and waits as long as it takes.
    ///
    /// - Returns: Whether they agree; nil if there is nobody who could be asked.
    func agrees(to question: Question) async -> Bool?
}

/// What a use case says while it works; none of it is a result.
public enum Happening: Sendable, Hashable {
    /// What is being done.
    case progress(String)
    /// What was found out on the way.
    case note(String)
    /// What is waited for, which may take long.
    case waiting(String)
    /// What somebody should know, and what may be done about it.
    case warning(String, next: String? = nil)
}
