internal import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL

/// Sends bodies over HTTP: the only HTTP client of the product that leaves the hosts' network.
public struct WebSender: Sendable {
    /// Why something was not sent.
    public struct Failure: Error, Sendable, Hashable {
        /// What went wrong, in words; no header and no body is in it.
        public let reason: String
    }

    private let endpoint: String
    /// What the other side is called in messages: an address may hold a secret.
    private let name: String
    private let headers: [String: String]
    private let timeoutMilliseconds: Int
    private let certificates: String?

    /// The most that is read of an answer, in bytes: nobody needs more to know why.
    private static let answerLimit = 4_096
    /// The longest that is waited because the other side asks for it, in seconds.
    private static let patience = 5

    /// Prepares to send.
    ///
    /// - Parameters:
    ///   - endpoint: The address, `http:` or `https:`.
    ///   - name: What the other side is called in messages.
    ///   - headers: Headers of each request; they may hold secrets.
    ///   - timeoutMilliseconds: How long each request may take.
    ///   - certificates: A file with certificates to trust instead of the system's; nil for none.
    public init(
        endpoint: String,
        name: String,
        headers: [String: String],
        timeoutMilliseconds: Int,
        certificates: String?
    ) {
        self.endpoint = endpoint
        self.name = name
        self.headers = headers
        self.timeoutMilliseconds = timeoutMilliseconds
        self.certificates = certificates
    }

    /// Posts JSON bodies, one after the other.
    ///
    /// A redirection is not followed: it could take the headers, and the secrets in them, elsewhere. A server that asks
    /// to come again (429, 503) is asked once more.
    ///
    /// - Parameter bodies: The bodies.
    /// - Throws: ``Failure`` for the first one that is not taken; those behind it are not sent.
    public func post(_ bodies: [[UInt8]]) async throws(Failure) {
        var tls = TLSConfiguration.makeClientConfiguration()
        if let certificates { tls.trustRoots = .file(certificates) }
        var configuration = HTTPClient.Configuration(
            tlsConfiguration: tls,
            redirectConfiguration: .disallow
        )
        // Who does not listen now is not waited for.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.timeout.connect = .milliseconds(Int64(timeoutMilliseconds))
        let client = HTTPClient(configuration: configuration)
        var failure: Failure?
        for body in bodies where failure == nil {
            do throws(Failure) { try await post(body, by: client) } catch { failure = error }
        }
        do { try await client.shutdown() } catch {
            failure = failure ?? Failure(reason: "the client could not be closed: \(error)")
        }
        if let failure { throw failure }
    }

    private func post(_ body: [UInt8], by client: HTTPClient) async throws(Failure) {
        var attempt = 1
        while true {
            let answer = try await answer(to: body, by: client)
            if (200..<300).contains(answer.status) { return }
            guard attempt == 1, [429, 502, 503, 504].contains(answer.status) else {
                throw Failure(reason: "\(name) answered \(answer.status): \(answer.text)")
            }
            attempt += 1
            do {
                try await Task.sleep(for: .seconds(min(answer.retryAfter ?? 1, Self.patience)))
            } catch {
                throw Failure(reason: "cancelled")
            }
        }
    }

    private func answer(to body: [UInt8], by client: HTTPClient) async throws(Failure)
        -> (status: Int, text: String, retryAfter: Int?)
    {
        var request = HTTPClientRequest(url: endpoint)
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.headers.add(name: "user-agent", value: "fleet")
        for (name, value) in headers { request.headers.replaceOrAdd(name: name, value: value) }
        request.body = .bytes(ByteBuffer(bytes: body))
        do {
            let response = try await client.execute(
                request,
                timeout: .milliseconds(Int64(timeoutMilliseconds))
            )
            var text = ""
            if !(200..<300).contains(Int(response.status.code)) {
                // An answer that is longer than that says nothing more.
                let bytes = try? await response.body.collect(upTo: Self.answerLimit)
                text = bytes.map { String(buffer: $0) } ?? "an answer that was not read"
            }
            let wait = response.headers.first(name: "retry-after").flatMap { Int($0) }
            return (Int(response.status.code), text, wait)
        } catch {
            throw Failure(reason: "\(name) cannot be reached: \(error)")
        }
    }
}
