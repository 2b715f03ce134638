internal import FleetJournal
internal import FleetOperations
internal import FleetRollout
internal import FleetServing
internal import HTTPTypes

/// A request, after everything was checked that does not depend on what it is about.
struct Call: Sendable {
    /// `GET`, `POST` and so on.
    let method: HTTPRequest.Method
    /// The path's parts, each decoded once: none is empty, `.` or `..`, or has a slash in it.
    let segments: [String]
    /// What stands behind `?`.
    let query: Form
    /// The headers.
    let headers: HTTPFields
    /// Whom it comes from; trusted proxies are looked through.
    let address: String
    /// The other end of the connection; nil for a Unix socket.
    let peer: String?
    /// The body; empty if there is none.
    var body: [UInt8] = []
    /// What the path's placeholders stand for.
    var parameters: [String: String] = [:]
    /// Who asks; nil for somebody who is not signed in.
    var caller: Caller?
    /// The environment that it concerns; nil if it concerns none.
    var environment: String?
    /// The rollout that it concerns; nil if it concerns none.
    var rollout: RolloutID?
    /// The time, in milliseconds since 1970.
    var now: Int

    /// The body as a form (application/x-www-form-urlencoded).
    var form: Form { Form(String(decoding: body, as: UTF8.self)) }

    /// The person who asks, as the engine knows people.
    var person: ServerEngine.Person {
        guard let caller else { preconditionFailure("a route that asks for a right has a caller") }
        return ServerEngine.Person(caller.account)
    }

    /// Whether there is a right; in a protected environment a token needs the scope for it.
    func may(_ right: Right, in environment: String?, isProtected: Bool) -> Bool {
        guard let caller, caller.account.roles.allow(right, in: environment) else { return false }
        guard let token = caller.token else { return true }
        return TokenScope.allow(token.scopes, right, isProtected: isProtected)
    }
}

/// Who asks, and how that is known.
struct Caller: Sendable {
    /// The account.
    let account: ServerFile.Account
    /// The session; nil for a token.
    let session: ServerSession?
    /// The token; nil for a browser.
    let token: ServerToken?
    /// Whether a proxy vouches for the person.
    var isFromProxy = false

    /// Whether the password was given a short while ago, as changes in a protected environment need it.
    ///
    /// A token has a scope for that instead.
    func isFresh(at now: Int) -> Bool {
        guard token == nil else { return true }
        guard let session else { return false }
        return now - session.fresh <= Sessions.freshMilliseconds && session.fresh <= now
    }
}

/// Names and values, as a form sends them or as they stand behind `?`.
struct Form: Sendable {
    private let values: [(name: String, value: String)]
    /// The most fields that are read.
    private static let most = 200

    /// Reads `a=b&c=d`; what cannot be decoded is left out.
    init(_ text: String) {
        values = text.split(separator: "&", maxSplits: Self.most).prefix(Self.most).compactMap {
            pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.decoded(parts[0]),
                let value = Self.decoded(parts.count > 1 ? parts[1] : "")
            else { return nil }
            return (name, value)
        }
    }

    /// A value; nil if there is none, or it is blank.
    subscript(name: String) -> String? {
        guard let value = values.first(where: { $0.name == name })?.value else { return nil }
        let trimmed = value.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace)
            .reversed()
        return trimmed.isEmpty ? nil : String(trimmed)
    }

    /// A value, exactly as it was sent; passwords have spaces.
    func exact(_ name: String) -> String? { values.first { $0.name == name }?.value }

    /// All values of a name.
    func all(_ name: String) -> [String] { values.filter { $0.name == name }.map(\.value) }

    private static func decoded(_ text: Substring) -> String? {
        Percent.decoded(text.replacing("+", with: " ")[...])
    }
}

/// Percent-encoding (RFC 3986, 2.1).
enum Percent {
    /// Decodes once; nil if that is no text.
    static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
                rest.prefix(2).allSatisfy({ Character(UnicodeScalar($0)).isHexDigit })
            else { return nil }
            rest = rest.dropFirst(2)
            bytes.append(value)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    /// Encodes everything that means something in a path or a query.
    static func encoded(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                || (0x61...0x7A).contains(byte) || "-._~".utf8.contains(byte)
            if isPlain {
                result.unicodeScalars.append(UnicodeScalar(byte))
            } else {
                let hex = String(byte, radix: 16, uppercase: true)
                result += "%" + (hex.count < 2 ? "0" : "") + hex
            }
        }
        return result
    }
}

/// A path, read once and in one way only.
///
/// Many servers were broken into because the part that checks a path and the part that serves it read it differently
/// (CVE-2023-42793, CVE-2024-27198). Here both get the same parts, and a path that could be read in two ways is refused.
enum RequestPath {
    /// The longest path, in bytes.
    private static let limit = 2_000

    /// The parts of a path; nil if it is refused.
    static func segments(_ path: Substring) -> [String]? {
        guard path.hasPrefix("/"), path.utf8.count <= limit else { return nil }
        guard path != "/" else { return [] }
        var segments: [String] = []
        for part in path.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            guard !part.isEmpty, let text = Percent.decoded(part), text != ".", text != ".." else {
                return nil
            }
            let isPlain = text.unicodeScalars.allSatisfy {
                $0.value > 0x20 && $0.value != 0x7F && !"/\\;%".unicodeScalars.contains($0)
            }
            guard isPlain else { return nil }
            segments.append(text)
        }
        return segments
    }
}
