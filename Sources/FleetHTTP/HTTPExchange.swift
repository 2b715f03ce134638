public import FleetTransport
internal import FoundationEssentials
internal import NIOCore
internal import NIOEmbedded
internal import NIOHTTP1
internal import Synchronization

/// One HTTP request and its answer as bytes, whatever carries them; SwiftNIO's codec does the work.
///
/// The answer is decoded anew from its first byte whenever bytes arrive: health pages are small,
/// and a decoder of SwiftNIO's must not move from one thread to another.
public final class HTTPExchange: Sendable {
    /// How an answer compares with what a probe wants.
    public enum Verdict: Sendable, Hashable {
        /// It is as it must be.
        case pass
        /// It is not; what was seen, and the beginning of the body.
        case fail(String, body: String)
    }

    /// The largest answer read, in bytes; a health page is smaller.
    public static let bodyLimitBytes = 1 << 20
    /// How much of a body is shown, in characters.
    static let excerptLength = 600

    /// The request's bytes.
    public let request: [UInt8]
    private let probe: HTTPProbe
    private let hostHeader: String
    private let head: HTTPRequestHead
    private let received = Mutex<[UInt8]>([])

    /// What has been decoded of an answer.
    private struct Answer {
        var status: Int?
        var location: String?
        var isJSON = false
        var body: [UInt8] = []
        var isComplete = false
        var problem: String?
    }

    /// Prepares a GET; the connection is closed afterwards.
    public init(_ probe: HTTPProbe) {
        self.probe = probe
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: probe.target)
        let host = probe.host.contains(":") ? "[\(probe.host)]" : probe.host
        hostHeader = probe.hostHeader ?? "\(host):\(probe.port)"
        head.headers.add(name: "Host", value: hostHeader)
        head.headers.add(name: "User-Agent", value: "fleet")
        head.headers.add(name: "Accept", value: "*/*")
        for field in probe.headers {
            head.headers.replaceOrAdd(name: field.name, value: field.value)
        }
        head.headers.add(name: "Connection", value: "close")
        self.head = head
        let channel = EmbeddedChannel()
        var bytes: [UInt8] = []
        do {
            try channel.pipeline.syncOperations.addHTTPClientHandlers()
            try channel.writeOutbound(HTTPClientRequestPart.head(head))
            try channel.writeOutbound(HTTPClientRequestPart.end(nil))
            while let buffer = try channel.readOutbound(as: ByteBuffer.self) {
                bytes += buffer.readableBytesView
            }
        } catch {
            preconditionFailure("a GET of our own can be written: \(error)")
        }
        request = bytes
    }

    /// Takes bytes of the answer; true once nothing more is needed.
    public func receive(_ bytes: [UInt8]) -> Bool {
        let all = received.withLock { received in
            received += bytes
            return received
        }
        let answer = decode(all, isAtEnd: false)
        return answer.isComplete || answer.problem != nil
    }

    private func decode(_ bytes: [UInt8], isAtEnd: Bool) -> Answer {
        var answer = Answer()
        guard bytes.count <= Self.bodyLimitBytes else {
            answer.problem = "the answer is larger than \(Self.bodyLimitBytes) bytes"
            return answer
        }
        let channel = EmbeddedChannel()
        do {
            try channel.pipeline.syncOperations.addHTTPClientHandlers()
            // The decoder wants to know which request an answer belongs to.
            try channel.writeOutbound(HTTPClientRequestPart.head(head))
            try channel.writeOutbound(HTTPClientRequestPart.end(nil))
            try channel.writeInbound(ByteBuffer(bytes: bytes))
            // A body without a length ends with the connection.
            if isAtEnd { _ = try channel.finish() }
            while let part = try channel.readInbound(as: HTTPClientResponsePart.self) {
                switch part {
                case .head(let head):
                    answer.status = Int(head.status.code)
                    answer.location = head.headers.first(name: "Location")
                    answer.isJSON =
                        head.headers.first(name: "Content-Type")?.lowercased().contains("json")
                        ?? false
                case .body(let buffer): answer.body += buffer.readableBytesView
                case .end: answer.isComplete = true
                }
            }
        } catch {
            answer.problem = isAtEnd ? "the answer is cut short" : "the answer is not HTTP"
        }
        return answer
    }

    /// Judges the answer once the other side has closed or ``receive(_:)`` was content.
    public func verdict() -> Verdict {
        let all = received.withLock { $0 }
        var answer = decode(all, isAtEnd: false)
        if !answer.isComplete, answer.problem == nil { answer = decode(all, isAtEnd: true) }
        return judge(answer)
    }

    private func judge(_ answer: Answer) -> Verdict {
        let body = answer.body
        let text = String(decoding: body, as: UTF8.self)
        let excerpt = String(text.prefix(Self.excerptLength))
        if let problem = answer.problem { return .fail(problem, body: excerpt) }
        guard let status = answer.status, answer.isComplete else {
            return .fail("there was no answer", body: excerpt)
        }
        guard status == probe.status else {
            var seen = "status \(status), not \(probe.status)"
            // What people need to see why an application does not answer them as it answers others.
            if let location = answer.location { seen += ", and sends on to \(location)" }
            if status == 400 || status == 421 || status == 404 {
                seen += " (asked as Host: \(hostHeader); `host:` asks as another)"
            }
            return .fail(seen, body: excerpt)
        }
        if let wanted = probe.contains, !text.contains(wanted) {
            return .fail("the body does not contain `\(wanted)`", body: excerpt)
        }
        if probe.rejectsErrorReports, let place = Self.errorReport(in: body, isJSON: answer.isJSON)
        {
            return .fail(
                "the body reports an error: \(place) (`reject_errors: false` lets that pass)",
                body: excerpt
            )
        }
        return .pass
    }

    /// Where a JSON body says `"error"`, as in `services.database = "error"`; nil if it does not, or is no
    /// JSON.
    ///
    /// It is read leniently: Python and others write `NaN` and `Infinity`, which JSON does not know, beside
    /// what matters; several reports may stand in a line each. A body that is called JSON, or begins as an object
    /// does, and cannot be read even so reports something that nobody can read.
    static func errorReport(in body: [UInt8], isJSON: Bool) -> String? {
        var body = body[...]
        if body.starts(with: [0xEF, 0xBB, 0xBF]) { body = body.dropFirst(3) }
        let first = body.first { !" \t\r\n".utf8.contains($0) }
        guard
            first == UInt8(ascii: "{") || first == UInt8(ascii: "[") || first == UInt8(ascii: "\"")
        else { return nil }
        let decoder = JSONDecoder()
        decoder.allowsJSON5 = true
        func read(_ text: some Sequence<UInt8>) -> JSONValue? {
            do {
                return try decoder.decode(JSONValue.self, from: Data(text))
            } catch {
                // Told by whoever asked.
                return nil
            }
        }
        if let value = read(body) { return value.placeOfError(path: []) }
        // One report in each line.
        let lines = body.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D }).map { read($0) }
        if lines.count > 1, !lines.contains(where: { $0 == nil }) {
            return lines.lazy.compactMap { $0?.placeOfError(path: []) }.first
        }
        // `[OK] …` and `"fine" …` are words; nothing but JSON begins with a brace and a quote or bracket.
        guard first == UInt8(ascii: "{") || isJSON else { return nil }
        return "it begins as JSON does, and is none"
    }
}

/// Any JSON, as far as looking for `"error"` needs it.
private indirect enum JSONValue: Decodable {
    case text(String)
    case list([JSONValue])
    case object([String: JSONValue])
    case other

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        func value<T: Decodable>(_ type: T.Type) -> T? {
            do {
                return try container.decode(type)
            } catch {
                // The error says that the value is of another type; the next one is tried.
                return nil
            }
        }
        if let text = value(String.self) {
            self = .text(text)
        } else if let list = value([JSONValue].self) {
            self = .list(list)
        } else if let object = value([String: JSONValue].self) {
            self = .object(object)
        } else {
            self = .other
        }
    }

    func placeOfError(path: [String]) -> String? {
        switch self {
        case .text(let text):
            guard text.lowercased() == "error" else { return nil }
            return "\(path.joined(separator: ".")) = \"\(text)\""
        case .list(let items):
            for (index, item) in items.enumerated() {
                if let place = item.placeOfError(path: path + [String(index)]) { return place }
            }
        case .object(let entries):
            for (key, value) in entries.sorted(by: { $0.key < $1.key }) {
                if let place = value.placeOfError(path: path + [key]) { return place }
            }
        case .other: break
        }
        return nil
    }
}
