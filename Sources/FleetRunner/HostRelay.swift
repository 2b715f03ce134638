internal import FleetTransport
internal import Synchronization

/// A connection made by a program on the host, where its sshd lets no connection through.
///
/// The host's python3, perl, bash (`/dev/tcp`) or nc connects, sends the request and hands back the answer; the answer is
/// judged here like any other. A first line of the script's own says what came of the connection.
enum HostRelay {
    /// What each host has for it, in the order in which it is tried.
    static let tools = "python3, perl, bash or nc"

    /// What came of it.
    enum Outcome: Sendable, Hashable {
        /// The program connected, and the answer was handed on.
        case connected(by: String)
        /// Nobody answers there, in the words of the program.
        case refused(by: String, reason: String)
        /// The host has none of the programs.
        case noTool
        /// The host did something else.
        case unclear(String)
    }

    /// Connects, sends a request and takes the answer, until it is complete or nothing more comes.
    ///
    /// - Parameters:
    ///   - session: The session with the host.
    ///   - host: Where to connect to, as the host sees it.
    ///   - port: The TCP port.
    ///   - request: What to send; nothing only connects.
    ///   - milliseconds: How long all of it may take.
    ///   - receive: Takes bytes; true once it has enough.
    /// - Returns: What came of it.
    /// - Throws: ``FleetTransport/TransportError``, also when the answer is not complete in time.
    static func exchange(
        on session: any HostSession,
        host: String,
        port: Int,
        request: [UInt8],
        withinMilliseconds milliseconds: Int,
        receive: @escaping @Sendable ([UInt8]) -> Bool
    ) async throws(TransportError) -> Outcome {
        let answer = Answer(receive)
        let result = try await session.run(
            Script(
                script,
                environment: [
                    EnvironmentVariable("FLEET_RELAY_HOST", host),
                    EnvironmentVariable("FLEET_RELAY_PORT", String(port)),
                    EnvironmentVariable(
                        "FLEET_RELAY_REQUEST",
                        String(decoding: request, as: UTF8.self)
                    ),
                ]
            ),
            timeoutMilliseconds: milliseconds,
            output: answer
        )
        let (line, hasEnough) = answer.end()
        let words = line.split(separator: " ", maxSplits: 3).map(String.init)
        guard words.count >= 2, words[0] == mark else {
            return .unclear(line.isEmpty ? result.status.phrase : line)
        }
        let tool = words.count > 2 ? words[2] : ""
        switch (words[1], result.status) {
        case ("none", _): return .noTool
        case ("refused", _), ("talking", .exited(refusedStatus)):
            let reason = words.count > 3 ? words[3] : "connection refused"
            return .refused(by: tool, reason: reason)
        case (_, .timedOut) where !hasEnough:
            throw .timedOut(.command, milliseconds: milliseconds)
        default: return .connected(by: tool)
        }
    }

    private static let mark = "fleet-relay"
    private static let refusedStatus = 97

    /// Takes the script's first line off what comes.
    private final class Answer: OutputSink {
        private struct State {
            var line: [UInt8] = []
            var isBehindLine = false
            var hasEnough = false
        }
        private let state = Mutex(State())
        private let receive: @Sendable ([UInt8]) -> Bool
        /// Longer than any first line of the script's.
        private static let lineLimitBytes = 1_000

        init(_ receive: @escaping @Sendable ([UInt8]) -> Bool) { self.receive = receive }

        func write(_ bytes: UnsafeRawBufferPointer) {
            let rest = state.withLock { state -> [UInt8] in
                var rest = Array(bytes)[...]
                if !state.isBehindLine {
                    let end = rest.firstIndex(of: 0x0A)
                    state.line += rest[..<(end ?? rest.endIndex)].prefix(Self.lineLimitBytes)
                    state.isBehindLine = end != nil
                    rest = rest[(end.map { $0 + 1 } ?? rest.endIndex)...]
                }
                return state.hasEnough ? [] : Array(rest)
            }
            guard !rest.isEmpty, receive(rest) else { return }
            state.withLock { $0.hasEnough = true }
        }

        func end() -> (line: String, hasEnough: Bool) {
            state.withLock { (String(decoding: $0.line, as: UTF8.self), $0.hasEnough) }
        }
    }

    /// Nothing of the host's own settings changes what the programs do: python3 reads no variables and no directory of
    /// its user's (`-I`), perl and bash none of theirs.
    private static let script = #"""
        unset PERL5OPT PERL5LIB PERLLIB BASH_ENV ENV
        if command -v python3 >/dev/null 2>&1 && python3 -I -c '' 2>/dev/null; then
            exec python3 -I -c '
        import os, socket, sys
        out, (host, port, request) = sys.stdout.buffer, [os.environb[b"FLEET_RELAY_" + n] for n in (b"HOST", b"PORT", b"REQUEST")]
        try:
            peer = socket.create_connection((host.decode(), int(port)))
        except Exception as problem:
            out.write(b"fleet-relay refused python3 " + str(problem).encode() + b"\n")
            sys.exit()
        out.write(b"fleet-relay connected python3\n")
        out.flush()
        peer.sendall(request)
        while request:
            data = peer.recv(65536)
            if not data: break
            out.write(data)
            out.flush()
        '
        fi
        if command -v perl >/dev/null 2>&1 && perl -e 'use Socket 1.98' 2>/dev/null; then
            exec perl -e '
        use Socket qw(getaddrinfo SOCK_STREAM);
        my ($problem, @found) = getaddrinfo($ENV{FLEET_RELAY_HOST}, $ENV{FLEET_RELAY_PORT}, {socktype => SOCK_STREAM});
        for my $place (@found) {
            socket(my $peer, $place->{family}, SOCK_STREAM, 0) or next;
            unless (connect($peer, $place->{addr})) { $problem = $!; next }
            syswrite STDOUT, "fleet-relay connected perl\n";
            my $request = $ENV{FLEET_RELAY_REQUEST};
            exit if $request eq "";
            syswrite $peer, $request;
            while (sysread $peer, my $data, 65536) { syswrite STDOUT, $data }
            exit;
        }
        syswrite STDOUT, "fleet-relay refused perl $problem\n";
        '
        fi
        # A bash that was built without it looks for a file of that name.
        if command -v bash >/dev/null 2>&1 && bash --norc --noprofile -c '
            { exec 3<>"/dev/tcp/$FLEET_RELAY_HOST/$FLEET_RELAY_PORT"; } 2>/dev/null || {
                problem=$( { exec 3<>"/dev/tcp/$FLEET_RELAY_HOST/$FLEET_RELAY_PORT"; } 2>&1 )
                case $problem in *"No such file"*) exit 98 ;; esac
                echo "fleet-relay refused bash ${problem##*: }"
                exit 0
            }
            echo "fleet-relay connected bash"
            [ -n "$FLEET_RELAY_REQUEST" ] || exit 0
            printf %s "$FLEET_RELAY_REQUEST" >&3
            exec cat <&3
        ' 2>/dev/null; then
            exit 0
        fi
        if command -v nc >/dev/null 2>&1; then
            echo 'fleet-relay talking nc'
            printf %s "$FLEET_RELAY_REQUEST" | nc "$FLEET_RELAY_HOST" "$FLEET_RELAY_PORT" 2>/dev/null || exit 97
            exit 0
        fi
        echo 'fleet-relay none'
        """#
}
