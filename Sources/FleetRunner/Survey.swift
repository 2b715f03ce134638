public import FleetInventory
public import FleetTransport

/// Asks hosts read-only questions outside of any rollout, for example which release a host runs.
public struct Survey: Sendable {
    /// The answer of a host whose question ran to its end there.
    ///
    /// A question that did not run to its end is an error, which says nothing about the host.
    public struct Answer: Sendable, Hashable {
        /// The exit status of the question.
        public let status: Int
        /// What it printed.
        public let text: String
    }

    private let transport: any Transport
    private let fanout: Int

    /// The longest a question may take, in milliseconds.
    public static let timeoutMilliseconds = 60_000

    /// Prepares questions.
    public init(transport: any Transport, fanout: Int = 32) {
        self.transport = transport
        self.fanout = fanout
    }

    /// Asks one host.
    ///
    /// - Throws: ``FleetTransport/TransportError``.
    public func ask(_ host: Host, _ script: Script) async throws(TransportError) -> Answer {
        let session = try await transport.open(host.endpoint, rollout: "survey")
        let output = WholeAnswer()
        do throws(TransportError) {
            let result = try await session.run(
                script,
                timeoutMilliseconds: Self.timeoutMilliseconds,
                output: output
            )
            await session.close(removingRunDirectory: false)
            guard case .exited(let status) = result.status else {
                throw TransportError.timedOut(.command, milliseconds: Self.timeoutMilliseconds)
            }
            return Answer(status: status, text: try output.text())
        } catch {
            await session.close(removingRunDirectory: false)
            throw error
        }
    }

    /// Asks many hosts a question that should never fail; a non-zero exit status is reported as an error.
    public func askAll(_ questions: [(host: Host, script: Script)]) async
        -> [HostName: Result<String, TransportError>]
    {
        await ask(questions).mapValues { answer in
            answer.flatMap { answer in
                guard answer.status != 0 else { return .success(answer.text) }
                let last =
                    answer.text.split(whereSeparator: \.isNewline).last.map(String.init) ?? ""
                return .failure(
                    .connectionLost(
                        .command,
                        reason:
                            "the question exited \(answer.status)\(last.isEmpty ? "" : ": \(last)")"
                    )
                )
            }
        }
    }

    /// Asks many hosts, a limited number at a time; every host has an answer or an error.
    public func ask(_ questions: [(host: Host, script: Script)]) async
        -> [HostName: Result<Answer, TransportError>]
    {
        let answers = await questions.windowed(fanout) { question in
            (question.host.name, await result(of: question.script, on: question.host))
        }
        return Dictionary(answers) { $1 }
    }

    private func result(of script: Script, on host: Host) async -> Result<Answer, TransportError> {
        do throws(TransportError) {
            return .success(try await ask(host, script))
        } catch {
            return .failure(error)
        }
    }
}
