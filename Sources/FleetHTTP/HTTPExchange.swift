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

    /// Names of encodings that pack a body (RFC 9110, 8.4.1, and the IANA registry); others are mistakes of frameworks.
    private static let packings: Set<String> = [
        "gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd",
    ]

    /// What has been decoded of an answer.
    private struct Answer {
        var status: Int?
        var location: String?
        var isJSON = false
        /// How the body is packed all the same; nil if it is not.
        var encoding: String?
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
        // What is packed can say nothing that is read here.
        head.headers.add(name: "Accept-Encoding", value: "identity")
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
                    let encodings = head.headers[canonicalForm: "Content-Encoding"]
                        .map { $0.lowercased() }.filter(Self.packings.contains)
                    answer.encoding = encodings.isEmpty ? nil : encodings.joined(separator: ", ")
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

    /// Whether a version stands in a text by itself and not as part of another one.
    ///
    /// `v2.0.0` is neither in `v2.0.0-rc.1` nor in `v2.0.0.1`, and `2.0.0` not in `12.0.0`. What semver calls build metadata (`+…`) is the same version.
    static func names(_ version: String, in text: String) -> Bool {
        let text = Array(text.utf8)
        let version = Array(version.utf8)
        guard !version.isEmpty else { return true }
        func isWord(_ index: Int) -> Bool {
            guard text.indices.contains(index) else { return false }
            let byte = text[index]
            return (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                || (0x61...0x7A).contains(byte) || byte == UInt8(ascii: "_")
        }
        func isDigit(_ index: Int) -> Bool {
            text.indices.contains(index) && (0x30...0x39).contains(text[index])
        }
        func goesOn(_ index: Int) -> Bool {
            guard text.indices.contains(index) else { return false }
            if isWord(index) { return true }
            return [UInt8(ascii: "."), UInt8(ascii: "-")].contains(text[index]) && isWord(index + 1)
        }
        func beganBefore(_ start: Int) -> Bool {
            guard start > 0 else { return false }
            return isDigit(start) && isDigit(start - 1)
                || text[start - 1] == UInt8(ascii: ".") && isDigit(start - 2)
        }
        guard text.count >= version.count else { return false }
        return (0...(text.count - version.count)).contains { start in
            let end = start + version.count
            return text[start] == version[0] && text[start..<end].elementsEqual(version)
                && !goesOn(end) && !beganBefore(start)
        }
    }

    private func judge(_ answer: Answer) -> Verdict {
        let body = Self.asUTF8(answer.body)
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
        if let encoding = answer.encoding, probe.contains != nil || probe.rejectsErrorReports {
            return .fail(
                "the body is packed (Content-Encoding: \(encoding)), although that was not asked for, and what it "
                    + "says cannot be read",
                body: ""
            )
        }
        if let wanted = probe.contains,
            !(probe.isVersion ? Self.names(wanted, in: text) : text.contains(wanted))
        {
            let isPart = text.contains(wanted)
            return .fail(
                "the body does not contain `\(wanted)`"
                    + (isPart ? " but as part of another version" : ""),
                body: excerpt
            )
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

    private static var decoder: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.allowsJSON5 = true
        return decoder
    }

    /// A body in UTF-16 as UTF-8: it has a byte order mark, or begins with a character that a zero belongs to.
    private static func asUTF8(_ body: [UInt8]) -> [UInt8] {
        guard body.count >= 2, body.count % 2 == 0 else { return body }
        let isBig: Bool
        switch (body[0], body[1]) {
        case (0xFE, 0xFF), (0, 1...): isBig = true
        case (0xFF, 0xFE), (1..., 0): isBig = false
        default: return body
        }
        let units = stride(from: 0, to: body.count, by: 2).map { index in
            let (high, low) =
                isBig ? (body[index], body[index + 1]) : (body[index + 1], body[index])
            return UInt16(high) << 8 | UInt16(low)
        }
        return Array(
            String(decoding: units.first == 0xFEFF ? units.dropFirst() : units[...], as: UTF16.self)
                .utf8
        )
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
        body = body.drop { " \t\r\n".utf8.contains($0) }
        // What frameworks put before JSON so that no other site's page can run it as a script.
        for guardian in [")]}',", ")]}'", "while(1);", "for(;;);", "{}&&"]
        where body.starts(with: guardian.utf8) {
            body = body.dropFirst(guardian.utf8.count)
            break
        }
        let first = body.first { !" \t\r\n".utf8.contains($0) }
        guard
            first == UInt8(ascii: "{") || first == UInt8(ascii: "[") || first == UInt8(ascii: "\"")
        else {
            // `OK` is a word, whatever it is called; what is wrapped in something else may still be a report.
            guard isJSON, let start = body.firstIndex(of: UInt8(ascii: "{")),
                let end = body.lastIndex(of: UInt8(ascii: "}")), start < end
            else { return nil }
            do {
                return try Self.decoder.decode(JSONValue.self, from: Data(body[start...end]))
                    .placeOfError(path: [])
            } catch {
                // No report that anybody can read.
                return nil
            }
        }
        let decoder = Self.decoder
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
