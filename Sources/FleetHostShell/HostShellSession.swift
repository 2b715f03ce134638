internal import FleetDigest
package import FleetReactor
package import FleetTransport
internal import Glibc

/// Which of a command's outputs.
package enum ChannelStream: Int32, Sendable {
    case output = 0
    case error = 1
}

/// A session that keeps the promises of ``FleetTransport/HostSession`` by way of a host's shell: all it needs is
/// to start commands, to connect from the host, and to move bytes.
package protocol HostShellSession: HostSession, ReactorSession {
    /// A command on the host, or a connection from it; valid until it is freed or the session ends.
    associatedtype Channel: Sendable

    /// The host's shell, once there is one.
    var shell: ShellChannel<Channel>? { get set }
    /// The connected address, for messages.
    var address: String { get }
    /// Names the run directory on the host.
    nonisolated var rollout: String { get }
    /// What sudo is answered on this host.
    var becomePassword: String? { get set }
    /// The accounts for which sudo has been asked, and whether it wanted the password and took it.
    var sudoAnswers: [String: Bool] { get set }
    /// Whether a channel was closed before, which the host may still count.
    var hasClosedChannels: Bool { get }
    /// What a step may print.
    nonisolated var outputLimit: HostOutputLimit { get }
    /// What is sent to more hosts than this one.
    nonisolated var sources: SourceFiles { get }
    /// The longest wait for the shell to start, in milliseconds.
    nonisolated var shellMilliseconds: Int { get }

    /// Opens a channel and starts a command on it.
    func openChannel(command: String, within milliseconds: Int)
        async throws(TransportError) -> Channel
    /// Opens a channel that the host connects to an address of its own.
    func openTunnel(host: String, port: Int, within milliseconds: Int)
        async throws(TransportError) -> Channel
    /// Reads what has arrived into the reactor's scratch space; 0 if nothing has.
    func read(_ channel: Channel, _ stream: ChannelStream) throws(TransportError) -> Int
    /// Writes as much as the way takes; returns how much that was.
    func write(_ bytes: [UInt8], from start: Int, to channel: Channel) throws(TransportError) -> Int
    /// Says that nothing more will be written; nil if that has to be tried again.
    func sendEnd(to channel: Channel) throws(TransportError) -> Bool?
    /// Whether the other side has closed, and everything that came has been read.
    func isAtEnd(_ channel: Channel) -> Bool
    /// Closes and forgets a channel; the session lives on.
    func free(_ channel: Channel) async
    /// Why a shell has ended before it said that it is ours, if that is known; the session's end otherwise.
    func whyEnded(_ channel: Channel) -> TransportError?
    /// Says goodbye and ends the session.
    func disconnect()
}

extension HostShellSession {
    /// The longest wait for the shell to start, in milliseconds.
    package nonisolated var shellMilliseconds: Int { HostShell.startMilliseconds }

    /// Only the shell's own words tell.
    package func whyEnded(_ channel: Channel) -> TransportError? { nil }
}

extension HostShellSession {
    /// The longest wait for processes to end: 5 s after TERM, 5 s after KILL, and the way there.
    private static var stopMilliseconds: Int { 20_000 }

    // MARK: HostSession

    package func run(_ script: Script, timeoutMilliseconds: Int, output: any OutputSink)
        async throws(TransportError) -> CommandResult
    {
        await takeBackShell(for: script.becomeUser)
        try await authorise(script.becomeUser)
        return try await attached(
            HostShell.attached(script, id: Self.runID),
            becomeUser: script.becomeUser,
            within: timeoutMilliseconds,
            output: output
        )
    }

    package func runOnly(_ script: Script, timeoutMilliseconds: Int, output: any OutputSink)
        async throws(TransportError) -> CommandResult
    {
        let mark = Self.newNonce()
        guard shell == nil,
            let line = HostShell.commandLine(running: script, id: Self.runID, mark: mark)
        else {
            try await waitForShell()
            return try await run(
                script,
                timeoutMilliseconds: timeoutMilliseconds,
                output: output
            )
        }
        let channel = try await openChannel(command: line, within: shellMilliseconds)
        shell = ShellChannel(channel: channel, reader: HostShellReader(mark: mark))
        shell?.runsCommandLine = true
        let result = try await attached(
            .none,
            becomeUser: nil,
            within: timeoutMilliseconds,
            output: output
        )
        // It takes no more requests.
        await dropShell()
        return result
    }

    /// Names an attached script in the shell's answers.
    package static var runID: String { "run" }

    /// Asks the shell and ends it, with everything it started, when the time is over.
    func attached(
        _ request: HostShell.Request,
        becomeUser: String?,
        within milliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> CommandResult {
        await takeBackShell(for: becomeUser)
        if shell == nil { try await openShell() }
        if let becomeUser, becomeUser != "root" { shell?.lentTo = becomeUser }
        let answer = try await ask(request, id: Self.runID, within: milliseconds, output: output)
        if let answer { return try result(answer) }
        // The shell itself is waiting, so a second one ends it.
        let group = shell?.group
        let waiting = shell
        shell = nil
        guard let group else {
            return CommandResult(status: .timedOut(confirmedDead: false), outputBytes: 0)
        }
        let end: ShellAnswer?
        do throws(TransportError) {
            end = try await askAside(
                HostShell.stopGroup(group, becomeUser: becomeUser),
                id: String(group)
            )
        } catch {
            // A host that refuses a second channel cannot be told to stop: it may go on.
            guard !error.isRetryable else { throw error }
            end = nil
        }
        if let waiting { await free(waiting.channel) }
        return CommandResult(
            status: .timedOut(confirmedDead: end?.isEnd ?? false),
            outputBytes: 0
        )
    }

    package func runDetached(
        _ script: Script,
        key: ActionKey,
        timeoutMilliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> CommandResult {
        await takeBackShell(for: script.becomeUser)
        try await waitForShell()
        try await authorise(script.becomeUser)
        let request = HostShell.detached(script, key: key)
        return try await follow(
            request,
            key: key,
            within: timeoutMilliseconds,
            output: output
        )
        .orThrow(key)
    }

    package func recover(
        _ key: ActionKey,
        from offset: Int,
        timeoutMilliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> Recovery {
        await takeBackShell(for: nil)
        return try await follow(
            HostShell.recover(key, from: offset),
            key: key,
            from: offset,
            within: timeoutMilliseconds,
            output: output
        )
    }

    package func stop(_ key: ActionKey) async throws(TransportError) -> Bool {
        switch try await askAside(HostShell.stop(key), id: key.description) {
        case .ended, .neverStarted: return true
        default: return false
        }
    }

    package func exchange(
        host: String,
        port: Int,
        request: [UInt8],
        withinMilliseconds: Int,
        receive: @escaping @Sendable ([UInt8]) -> Bool
    ) async throws(TransportError) {
        let deadline = Reactor.now() + UInt64(withinMilliseconds) * 1_000_000
        let channel = try await openTunnel(host: host, port: port, within: withinMilliseconds)
        guard !request.isEmpty else { return await free(channel) }
        let left = max(1, Int((Int64(deadline) - Int64(Reactor.now())) / 1_000_000))
        var sent = 0
        let ended = try await performOrExpire(.command, within: left) {
            () throws(TransportError) -> Bool? in
            sent += try self.write(request, from: sent, to: channel)
            while true {
                let count = try self.read(channel, .output)
                guard count > 0 else { break }
                let bytes = UnsafeRawBufferPointer(
                    rebasing: UnsafeRawBufferPointer(self.reactor.scratch)[..<count]
                )
                if receive(Array(bytes)) { return true }
            }
            return self.isAtEnd(channel) ? true : nil
        }
        await free(channel)
        guard ended != nil else { throw .timedOut(.command, milliseconds: withinMilliseconds) }
    }

    package func close(removingRunDirectory: Bool) async {
        if removingRunDirectory, failure == nil, shell != nil {
            shell?.unsent += Array(HostShell.clean.utf8)
            do throws(TransportError) {
                _ = try await performOrExpire(.command, within: 2000) {
                    () throws(TransportError) -> Bool? in
                    guard let shell = self.shell else { return true }
                    try self.sendRequests()
                    while try self.read(shell.channel, .output) > 0 {}
                    return self.isAtEnd(shell.channel) ? true : nil
                }
            } catch {
                // The directory stays on the host; it is small, private and named by the rollout.
            }
        }
        disconnect()
    }

    /// Closes a shell that a script of another account has run in: what a process of that account has kept open
    /// could write into the answers to other accounts' scripts.
    private func takeBackShell(for user: String?) async {
        if let lent = shell?.lentTo, lent != user { await dropShell() }
    }

    // MARK: sudo

    /// Proves to sudo that the password is right, once per session and account, if there is one.
    ///
    /// sudo is given it once, after its own prompt, which carries a mark of ours, and nothing else: no second try
    /// and no empty line, each of which would count against the account (pam_faillock(8)). What asks in other
    /// words is not answered.
    private func authorise(_ user: String?) async throws(TransportError) {
        guard let user, let password = becomePassword, sudoAnswers[user] == nil else { return }
        let seen = CollectingSink(limitBytes: 400)
        func next(_ request: HostShell.Request) async throws(TransportError) -> ShellAnswer? {
            try await ask(
                request,
                id: HostShell.sudoID,
                within: Self.stopMilliseconds,
                output: seen
            )
        }
        func said() -> String {
            let lines = seen.text.split(whereSeparator: \.isNewline).map { $0.drop { $0 == " " } }
            return lines.filter { !$0.isEmpty }.joined(separator: " | ")
        }
        let mark = Self.newNonce()
        if shell == nil { try await openShell() }
        shell?.reader.expectQuestion(mark)
        let first = try await next(HostShell.askSudo(user, mark: mark))
        shell?.reader.expectQuestion(nil)
        if case .ended(_, let number, _) = first {
            // No question: the rule wants no password, or there is no such rule. sudo -n tells.
            if number == 1 { shell?.unsent += Array("\n".utf8) }
            sudoAnswers[user] = false
            return
        }
        guard case .asksPassword = first else {
            await dropShell()
            throw .credentialUnusable(
                reason:
                    "sudo on \(address) asks in words that are not sudo's own, and fleet answers nothing "
                    + "else: `\(said())`"
            )
        }
        shell?.unsent += Array("\(password)\n".utf8)
        let end = try await next(.none)
        guard case .ended(.exited(0), _, _) = end else {
            // Whatever it waits for now: it gets nothing more.
            await dropShell()
            let why = said()
            throw .credentialUnusable(
                reason: "sudo on \(address) did not take the password for \(user)"
                    + (why.isEmpty ? "" : ": \(why)")
            )
        }
        sudoAnswers[user] = true
        shell?.unsent += HostShell.knowing(password, for: sudoAskers)
    }

    /// The accounts for which sudo wants the password.
    private var sudoAskers: Set<String> { Set(sudoAnswers.filter(\.value).keys) }

    // MARK: Requests

    /// Starts or follows a detached script until it ends, and fetches output that is missing.
    private func follow(
        _ request: HostShell.Request,
        key: ActionKey,
        from offset: Int = 0,
        within milliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> Recovery {
        let id = key.description
        var (answer, isFlood) = try await end(request, key, within: milliseconds, output: output)
        var hasTimedOut = false
        if answer == nil {
            let stopped: ShellAnswer?
            do throws(TransportError) {
                stopped = try await askAside(HostShell.stop(key), id: id)
            } catch {
                // A host that refuses a second channel cannot be told to stop: the step may go on.
                guard !error.isRetryable else { throw error }
                stopped = nil
            }
            switch stopped {
            // With a status of its own it ended in time; only its output came late.
            case .ended(.exited, _, _), .ended(.fenced, _, _): hasTimedOut = false
            case .ended(.gone, _, _), .neverStarted: hasTimedOut = true
            default:
                await dropShell()
                return .ended(
                    CommandResult(status: .timedOut(confirmedDead: false), outputBytes: 0)
                )
            }
            isFlood = isFlood && hasTimedOut
            // Its end wakes the first shell, which prints what there is.
            answer = try await ask(.none, id: id, within: Self.stopMilliseconds, output: output)
        }
        guard let answer else {
            throw .connectionLost(.command, reason: "the step's end was not reported")
        }
        let end: ShellAnswer.End
        let size: Int
        var received = offset
        switch answer {
        case .neverStarted: return .neverStarted
        case .duplicate:
            throw .connectionLost(.command, reason: "the host has seen \(id) before")
        case .noSpool(let home):
            return refused(
                "cannot write to \(home)/.fleet on the host (disk full, read-only, another account's, or not there?)",
                output
            )
        case .noSetsid:
            return refused(
                "the host has neither setsid, busybox, perl nor python3 to start a step with",
                output
            )
        case .ended(let how, let number, let outputBytes):
            end = how
            size = number
            received += outputBytes
        case .size, .asksPassword, .stuck, .unclear: throw unclear(answer)
        }
        while received < size {
            let rest = try await ask(
                HostShell.rest(key, from: received),
                id: id,
                within: milliseconds,
                output: output
            )
            guard case .ended(_, _, let more) = rest, more > 0 else {
                throw .connectionLost(.command, reason: "output is missing from byte \(received)")
            }
            received += more
        }
        if isFlood {
            let text =
                "\nfleet: stopped, because it printed more than \(outputLimit.bytes) bytes; "
                + "make it print less, or send that to a file of its own with `>`\n"
            text.withCString { output.write(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
            return .ended(CommandResult(status: .exited(96), outputBytes: received))
        }
        if hasTimedOut {
            return .ended(
                CommandResult(status: .timedOut(confirmedDead: true), outputBytes: received)
            )
        }
        switch end {
        case .gone: return .vanished
        case .fenced: return .ended(CommandResult(status: .fenced, outputBytes: received))
        case .exited(let status):
            return .ended(CommandResult(status: .exited(status), outputBytes: received))
        }
    }

    /// Waits for a step's end, looking now and then how much it has printed; no answer when the time is
    /// over, or when it was too much.
    private func end(
        _ request: HostShell.Request,
        _ key: ActionKey,
        within milliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> (answer: ShellAnswer?, isFlood: Bool) {
        let id = key.description
        let deadline = Reactor.now() + UInt64(max(1, milliseconds)) * 1_000_000
        var request = request
        var looks = true
        while true {
            let left = max(1, Int((Int64(deadline) - Int64(Reactor.now())) / 1_000_000))
            let slice = looks ? min(left, outputLimit.lookMilliseconds) : left
            let answer = try await ask(request, id: id, within: slice, output: output)
            if answer != nil || slice == left { return (answer, false) }
            request = .none
            do throws(TransportError) {
                let answer = try await askAside(HostShell.size(key), id: id)
                if case .size(let bytes) = answer, bytes > outputLimit.bytes { return (nil, true) }
            } catch {
                // A host that refuses a second channel cannot be asked.
                guard !error.isRetryable else { throw error }
                looks = false
            }
        }
    }

    /// A step that could not be started there, as one that failed; says why.
    private func refused(_ why: String, _ output: any OutputSink) -> Recovery {
        "fleet: \(why)\n".withCString {
            output.write(UnsafeRawBufferPointer(start: $0, count: strlen($0)))
        }
        return .ended(CommandResult(status: .exited(96), outputBytes: 0))
    }

    /// How an attached script ended.
    private func result(_ answer: ShellAnswer) throws(TransportError) -> CommandResult {
        guard case .ended(.exited(let status), _, let bytes) = answer else { throw unclear(answer) }
        return CommandResult(status: .exited(status), outputBytes: bytes)
    }

    private func unclear(_ answer: ShellAnswer) -> TransportError {
        let said = if case .unclear(let line) = answer { line } else { "\(answer)" }
        return .connectionLost(.command, reason: "the shell said `\(said)`")
    }

    /// Sends a request to the host's shell and reads until the line that ends it; nil when the time
    /// is over, the request then being still under way.
    ///
    /// An empty request only reads on.
    private func ask(
        _ request: HostShell.Request,
        id: String,
        within milliseconds: Int,
        output: any OutputSink
    ) async throws(TransportError) -> ShellAnswer? {
        if shell == nil { try await openShell() }
        shell?.append(request)
        if !(shell?.isReady ?? true) {
            let early = try await performOrExpire(.command, within: shellMilliseconds) {
                () throws(TransportError) -> ShellStart? in
                if let answer = try self.advance(id: id, output) { return .answered(answer) }
                return self.shell?.isReady ?? false ? .ready : nil
            }
            switch early {
            case .answered(let answer): return answer
            case .ready: break
            // The login runs something else than our shell, and says nothing about it.
            case nil: throw slowShell()
            }
        }
        return try await performOrExpire(.command, within: milliseconds) {
            () throws(TransportError) -> ShellAnswer? in
            try self.advance(id: id, output)
        }
    }

    /// Returns once the shell has said that it is ours.
    ///
    /// A login that reads some of our input would leave the rest of it to be run. So what may change
    /// the host is sent only when everything before it is known to have arrived.
    package func waitForShell() async throws(TransportError) {
        if shell == nil { try await openShell() }
        guard shell?.isReady == false else { return }
        let isReady = try await performOrExpire(.command, within: shellMilliseconds) {
            () throws(TransportError) -> Bool? in
            _ = try self.advance(id: "", DiscardingSink())
            return self.shell?.isReady ?? false ? true : nil
        }
        if isReady == nil { throw slowShell() }
    }

    /// Writes what is unsent and reads what has arrived; nil until the line that ends `id`.
    private func advance(id: String, _ output: any OutputSink) throws(TransportError)
        -> ShellAnswer?
    {
        guard let channel = shell?.channel else {
            throw .connectionLost(.command, reason: "the shell is closed")
        }
        try sendRequests()
        var answer: ShellAnswer?
        while answer == nil {
            // Unread output stays in the channel, and the host stops when its window is full.
            guard !mustWait(for: output) else { return nil }
            let count = try read(channel, .output)
            guard count > 0 else { break }
            let bytes = UnsafeRawBufferPointer(
                rebasing: UnsafeRawBufferPointer(reactor.scratch)[..<count]
            )
            answer = shell?.take(bytes, of: id, output)
        }
        // Standard error of the shell itself carries nothing of ours; it must not fill up.
        while case let count = try read(channel, .error), count > 0 {
            shell?.takeComplaint(
                UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(reactor.scratch)[..<count])
            )
        }
        if let answer { return answer }
        guard !isAtEnd(channel) else { throw shellEnded() }
        return nil
    }

    /// Whether the sink has to catch up first; everything goes on when it has.
    private func mustWait(for output: any OutputSink) -> Bool {
        let reactor = reactor
        return output.isFull { [weak self] in
            guard let self else { return }
            reactor.post { self.assumeIsolated { $0.pump() } }
        }
    }

    /// Asks a second shell, while the first one waits for a step.
    private func askAside(_ request: HostShell.Request, id: String) async throws(TransportError)
        -> ShellAnswer
    {
        let first = shell
        shell = nil
        let answer: ShellAnswer?
        do throws(TransportError) {
            answer = try await ask(
                request,
                id: id,
                within: Self.stopMilliseconds,
                output: DiscardingSink()
            )
        } catch {
            await dropShell()
            if failure == nil { shell = first }
            throw error
        }
        await dropShell()
        shell = first
        guard let answer else { throw .timedOut(.command, milliseconds: Self.stopMilliseconds) }
        return answer
    }

    private func openShell() async throws(TransportError) {
        let channel = try await openAfterOthers(command: HostShell.command)
        let nonce = Self.newNonce()
        shell = ShellChannel(
            channel: channel,
            reader: HostShellReader(nonce: nonce),
            unsent: HostShell.prologue(nonce: nonce, rollout: rollout)
        )
        if let password = becomePassword, !sudoAskers.isEmpty {
            shell?.unsent += HostShell.knowing(password, for: sudoAskers)
        }
    }

    /// 128 random bits as text: what marks the lines that are ours.
    private static func newNonce() -> String {
        var random = SystemRandomNumberGenerator()
        let bytes = (0..<2).flatMap { _ in
            withUnsafeBytes(of: random.next()) { Array($0) }
        }
        return SHA256Digest.hexadecimal(bytes)
    }

    /// Opens a channel, giving up the shell if the host allows one at a time (MaxSessions 1); the
    /// next request starts another one.
    func openOnlyChannel(command: String) async throws(TransportError) -> Channel {
        do throws(TransportError) {
            return try await openChannel(command: command, within: shellMilliseconds)
        } catch {
            guard case .refusedByHost = error, shell != nil else { throw error }
            await dropShell()
        }
        return try await openAfterOthers(command: command)
    }

    /// Opens a channel where others were closed a moment ago: sshd counts a session until its
    /// process is gone.
    private func openAfterOthers(command: String) async throws(TransportError) -> Channel {
        var pause = 20
        while true {
            do throws(TransportError) {
                return try await openChannel(command: command, within: shellMilliseconds)
            } catch {
                guard case .refusedByHost = error, pause < 2_000, hasClosedChannels else {
                    throw error
                }
            }
            do { try await Task.sleep(for: .milliseconds(pause)) } catch {
                throw TransportError.connectionLost(.channel, reason: "cancelled")
            }
            pause *= 2
        }
    }

    /// Closes the shell: sshd allows ten sessions on a connection (MaxSessions).
    private func dropShell() async {
        guard let channel = shell?.channel else { return }
        shell = nil
        await free(channel)
    }

    private func shellEnded() -> TransportError {
        guard let shell, !shell.isReady else {
            return fail(.connectionLost(.command, reason: "the shell on \(address) ended"))
        }
        if let reason = whyEnded(shell.channel) { return fail(reason) }
        return fail(.shellUnusable(seen: shell.seen + ", and ended"))
    }

    /// A login that is only slow may still come to the request.
    private func slowShell() -> TransportError {
        fail(
            .shellSlow(
                milliseconds: shellMilliseconds,
                seen: shell?.seen ?? "it said nothing",
                mayRun: shell?.runsCommandLine ?? false
            )
        )
    }

    private func fail(_ error: TransportError) -> TransportError {
        shell = nil
        return error
    }

    // MARK: Bytes

    private func sendRequests() throws(TransportError) {
        guard let shell, !shell.unsent.isEmpty else { return }
        let count = try write(shell.unsent, from: 0, to: shell.channel)
        self.shell?.unsent.removeFirst(count)
    }
}

extension ShellAnswer {
    /// Whether something is over.
    fileprivate var isEnd: Bool { if case .ended = self { true } else { false } }
}

/// What came first from a shell that was just started.
private enum ShellStart: Sendable {
    case ready
    case answered(ShellAnswer)
}

extension Recovery {
    /// The result of a script that was started just now.
    fileprivate func orThrow(_ key: ActionKey) throws(TransportError) -> CommandResult {
        switch self {
        case .ended(let result): return result
        case .neverStarted, .vanished:
            throw .connectionLost(.command, reason: "\(key) left no result")
        }
    }
}
