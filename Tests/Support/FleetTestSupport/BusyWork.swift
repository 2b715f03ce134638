import Dispatch

/// Runs work that keeps a processor busy, or waits for hundreds of programs, away from Swift's shared
/// threads: there are as many of those as processors, and every other test needs them.
///
/// One such work at a time.
///
/// - Parameter work: The work; what it finds wrong is thrown or returned, not recorded there.
/// - Returns: What it returns.
/// - Throws: What it throws.
public func busily<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
        busyQueue.async { continuation.resume(with: Result { try work() }) }
    }
}

private let busyQueue = DispatchQueue(label: "fleet.tests.busy")
