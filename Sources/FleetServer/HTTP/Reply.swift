internal import FleetDigest
internal import FleetOperations
internal import FleetReport
internal import FleetRollout
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// An answer.
struct Reply: Sendable {
    /// What follows the headers.
    enum Body: Sendable {
        /// Bytes.
        case bytes([UInt8])
        /// What comes as it happens, until the reader goes away.
        case stream(@Sendable (any ReplySink) async -> Void)
    }

    /// The status.
    var status: HTTPResponse.Status
    /// The headers; the responder adds those that every answer has.
    var headers: HTTPFields = [:]
    /// What follows.
    var body: Body

    /// An answer with text.
    static func text(_ text: String, _ status: HTTPResponse.Status = .ok) -> Reply {
        Reply(
            status: status,
            headers: [.contentType: "text/plain; charset=utf-8"],
            body: .bytes(Array(text.utf8))
        )
    }

    /// A page.
    static func page(_ html: String, _ status: HTTPResponse.Status = .ok) -> Reply {
        Reply(
            status: status,
            headers: [.contentType: "text/html; charset=utf-8"],
            body: .bytes(Array(html.utf8))
        )
    }

    /// A value as JSON, in the forms that docs/json.md describes.
    static func json(_ value: some Encodable, _ status: HTTPResponse.Status = .ok) -> Reply {
        Reply(
            status: status,
            headers: [.contentType: "application/json"],
            body: .bytes(JSONLine.bytes(of: value))
        )
    }

    /// Values as JSON, a line each.
    static func lines(_ values: [some Encodable]) -> Reply {
        Reply(
            status: .ok,
            headers: [.contentType: "application/jsonl"],
            body: .bytes(values.flatMap { JSONLine.bytes(of: $0) })
        )
    }

    /// Leads a browser to another page of this server.
    ///
    /// - Parameter path: A path of ours, which begins with one slash: nobody is led elsewhere.
    /// - Returns: The answer.
    static func see(_ path: String) -> Reply {
        let isOurs = path.hasPrefix("/") && !path.hasPrefix("//") && !path.contains("\\")
        return Reply(status: .seeOther, headers: [.location: isOurs ? path : "/"], body: .bytes([]))
    }

    /// No body.
    static func empty(_ status: HTTPResponse.Status) -> Reply {
        Reply(status: status, body: .bytes([]))
    }

    /// Adds a header.
    func with(_ name: HTTPField.Name, _ value: String) -> Reply {
        var reply = self
        reply.headers.append(HTTPField(name: name, value: value))
        return reply
    }
}

/// Takes what comes as it happens.
protocol ReplySink: Sendable {
    /// Sends bytes; returns once the reader can take more.
    ///
    /// - Throws: If the reader has gone, or does not read.
    func send(_ bytes: [UInt8]) async throws
}

/// Why a request is not answered with what it asks for.
struct Refusal: Error, Sendable {
    /// The status.
    let status: HTTPResponse.Status
    /// What is wrong, for people.
    let failure: OperationFailure
    /// Whether giving the password again would help.
    var wantsPassword = false

    /// Refuses a request.
    init(_ status: HTTPResponse.Status, _ message: String, hints: [String] = []) {
        self.status = status
        failure = OperationFailure(.refused, message, hints: hints)
    }

    /// A failure of the engine.
    init(_ failure: OperationFailure) {
        status =
            switch failure.status {
            case .usage, .invalidFiles: .badRequest
            case .locked: .conflict
            case .refused: .unprocessableContent
            case .interrupted: .serviceUnavailable
            case .journal, .stateDirectory:
                HTTPResponse.Status(code: 507, reasonPhrase: "Insufficient Storage")
            default: .internalServerError
            }
        self.failure = failure
    }

    /// The password has to be given again.
    static let needsPassword: Refusal = {
        var refusal = Refusal(
            .forbidden,
            "this needs your password again: you gave it more than 15 minutes ago"
        )
        refusal.wantsPassword = true
        return refusal
    }()
}
