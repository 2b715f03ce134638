/// Where the work on a host runs: tasks prefer it, and actors can make it their own.
public typealias HostExecutor = SerialExecutor & TaskExecutor

/// Opens sessions to hosts.
///
/// There are two: SSH, and the one that tests script.
public protocol Transport: Sendable {
    /// Connects, verifies the host's key and logs in.
    ///
    /// - Parameters:
    ///   - endpoint: The host and how to reach it.
    ///   - rollout: Names the private run directory on the host; a safe file name.
    /// - Returns: A session that is ready for commands.
    /// - Throws: ``TransportError``; nothing has run on the host then.
    func open(_ endpoint: HostEndpoint, rollout: String) async throws(TransportError)
        -> any HostSession

    /// The executor on which a host's work runs best; nil if there is none.
    ///
    /// It also moves the host's bytes, so that a step costs no thread switch.
    ///
    /// - Parameter endpoint: The host.
    /// - Returns: The executor, which stays the same for this host.
    func executor(for endpoint: HostEndpoint) -> (any HostExecutor)?
}

extension HostSession {
    /// Runs the script as ``run(_:timeoutMilliseconds:output:)`` does.
    public func runOnly(_ script: Script, timeoutMilliseconds: Int, output: any OutputSink)
        async throws(TransportError) -> CommandResult
    {
        try await run(script, timeoutMilliseconds: timeoutMilliseconds, output: output)
    }
}

extension HostSession {
    /// Nil: the client is not named.
    public var client: String? { nil }
    /// Nil: no key is verified.
    public var hostKey: String? { get async { nil } }
}

extension Transport {
    /// No preference.
    public func executor(for endpoint: HostEndpoint) -> (any HostExecutor)? { nil }
}

/// A logged-in connection to one host.
///
/// One call at a time; after a thrown error only ``close()``.
public protocol HostSession: Sendable {
    /// The key that the host has proved, as in `ssh-ed25519 SHA256:…`; nil where there is none.
    var hostKey: String? { get async }

    /// The client that connects to the host, for people: `libssh2 1.10.0`, `OpenSSH_9.2p1`, `local`; nil if unknown.
    var client: String? { get }

    /// Runs a read-only script attached to the session: if the connection ends, so may the script.
    ///
    /// - Throws: ``TransportError``; see ``TransportError/mayHaveRun``.
    func run(_ script: Script, timeoutMilliseconds: Int, output: any OutputSink)
        async throws(TransportError) -> CommandResult

    /// Runs one script, after which the session runs nothing else.
    ///
    /// It behaves like ``run(_:timeoutMilliseconds:output:)``, except that a command line typed by a person may be
    /// visible in the host's process list.
    ///
    /// - Throws: ``TransportError``; see ``TransportError/mayHaveRun``.
    func runOnly(_ script: Script, timeoutMilliseconds: Int, output: any OutputSink)
        async throws(TransportError) -> CommandResult

    /// Runs a detached script; the host stores its output and status under `key`.
    ///
    /// A lost connection therefore loses neither of them.
    ///
    /// - Throws: ``TransportError``; ask ``recover(_:timeoutMilliseconds:output:)`` on a new
    ///   session what became of it.
    func runDetached(
        _ script: Script,
        key: ActionKey,
        timeoutMilliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> CommandResult

    /// Learns what became of a detached script whose answer was lost; waits for it if it still
    /// runs, and stops it when `timeoutMilliseconds` have passed.
    ///
    /// - Parameters:
    ///   - key: The script.
    ///   - offset: How many bytes of its output were delivered before; the rest follows.
    ///   - timeoutMilliseconds: The longest wait for its end.
    ///   - output: Takes the rest of what it printed.
    /// - Returns: What became of it.
    /// - Throws: ``TransportError`` if the connection fails once more.
    func recover(
        _ key: ActionKey,
        from offset: Int,
        timeoutMilliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> Recovery

    /// Ends a detached script and all its children; returns whether they are known to be gone.
    ///
    /// - Throws: ``TransportError`` if the host cannot be asked.
    func stop(_ key: ActionKey) async throws(TransportError) -> Bool

    /// Puts a file on the host: complete and verified, or not at all.
    ///
    /// - Throws: ``TransportError``; an upload may always be repeated.
    func upload(_ upload: Upload, key: ActionKey, timeoutMilliseconds: Int, output: any OutputSink)
        async throws(TransportError) -> CommandResult

    /// Connects from the host to `host:port`, sends `request`, and hands each answer to `receive`
    /// until that returns true or the other side closes. An empty request only connects.
    ///
    /// - Throws: ``TransportError/refusedByHost(reason:)`` if nobody listens there.
    func exchange(
        host: String,
        port: Int,
        request: [UInt8],
        withinMilliseconds: Int,
        receive: @escaping @Sendable ([UInt8]) -> Bool
    ) async throws(TransportError)

    /// Ends the session; `removingRunDirectory` also removes what detached scripts left.
    func close(removingRunDirectory: Bool) async
}
