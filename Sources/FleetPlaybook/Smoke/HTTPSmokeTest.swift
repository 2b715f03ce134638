internal import FleetTransport
internal import FleetYAML

/// `http: { url: http://127.0.0.1:5000/health }` asks the host's own web server, through SSH.
struct HTTPSmokeTest: SmokeKind {
    static let key = "http"
    static let summary = "Gets a URL as the host sees it, and checks status, time and body."

    private let url: Template
    private let withinMilliseconds: Int
    private let status: Int
    private let contains: Template?
    private let rejectsErrorReports: Bool
    private let hostHeader: Template?
    private let headers: [(name: String, value: Template)]
    private let written: String

    init?(_ node: YAMLNode, reader: YAMLReader) {
        var url: String?
        var urlNode = node
        var within = 5000
        var status = 200
        var contains: Template?
        var rejects = true
        var hostHeader: Template?
        var headers: [(name: String, value: Template)] = []
        if case .scalar = node.content {
            url = reader.text(node, of: "`http`")
        } else {
            guard let fields = reader.fields(node, of: "`http`") else { return nil }
            urlNode = fields.node("url") ?? node
            url = fields.requiredText("url")
            within = fields.milliseconds("within") ?? within
            status = fields.number("status", in: 100...599) ?? status
            contains = fields.node("contains").flatMap { node in
                reader.filledText(node, of: "`contains`").map {
                    Template($0, location: node.location, reader: reader)
                }
            }
            rejects = fields.flag("reject_errors") ?? rejects
            hostHeader = fields.node("host").flatMap { node in
                reader.filledText(node, of: "`host`").map {
                    Template($0, location: node.location, reader: reader)
                }
            }
            for (name, value, location) in fields.textMap("headers") {
                guard Self.isFieldName(name) else {
                    reader.report("`\(name)` cannot name a header field", at: location)
                    continue
                }
                headers.append((name, Template(value, location: location, reader: reader)))
            }
            fields.refuseUnknown()
        }
        guard let url else { return nil }
        self.url = Template(url, location: urlNode.location, reader: reader)
        written = url
        withinMilliseconds = within
        self.status = status
        self.contains = contains
        rejectsErrorReports = rejects
        self.hostHeader = hostHeader
        self.headers = headers
    }

    /// RFC 9110, section 5.1: a token.
    private static func isFieldName(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                    || (0x61...0x7A).contains(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
    }

    /// A value that ends no line of the request.
    private func fieldValue(_ template: Template, in scope: StepScope) throws(UndefinedReference)
        -> String
    {
        let value = try template.value(in: scope)
        guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
            throw UndefinedReference(
                message: "a header field is one line",
                hint: nil,
                location: template.location
            )
        }
        return value
    }

    var title: String { "GET \(written)" }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        let text = try url.value(in: scope)
        guard let parts = HTTPAddress(text) else {
            throw UndefinedReference(
                message: "`\(text)` is not a plain http URL",
                hint: "write http://ADDRESS:PORT/PATH; for https use a `command` smoke test",
                location: url.location
            )
        }
        var fields: [EnvironmentVariable] = []
        for (name, value) in headers {
            fields.append(EnvironmentVariable(name, try fieldValue(value, in: scope)))
        }
        let named: String? =
            if let hostHeader { try fieldValue(hostHeader, in: scope) } else { nil }
        let wanted = try contains?.value(in: scope)
        let names = [
            scope.release?.tag ?? "", scope.release?.commit ?? "", SnapshotToken.tag,
            SnapshotToken.commit,
        ]
        return .http(
            HTTPProbe(
                host: parts.host,
                port: parts.port,
                target: parts.target,
                withinMilliseconds: withinMilliseconds,
                status: status,
                contains: wanted,
                rejectsErrorReports: rejectsErrorReports,
                hostHeader: named,
                headers: fields,
                isVersion: wanted.map { text in
                    names.contains { !$0.isEmpty && text.hasSuffix($0) }
                } ?? false
            )
        )
    }
}

/// The parts of an `http://host:port/path` URL.
struct HTTPAddress {
    let host: String
    let port: Int
    let target: String

    init?(_ url: String) {
        guard url.hasPrefix("http://"),
            url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { return nil }
        let rest = url.dropFirst(7)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let tail = rest.dropFirst(authority.count).prefix { $0 != "#" }
        target = tail.hasPrefix("/") ? String(tail) : "/" + tail
        guard !authority.contains("@") else { return nil }
        var name = authority
        var port = 80
        // An IPv6 address stands in brackets, so that its colons are not the port's.
        if authority.hasPrefix("["), let close = authority.firstIndex(of: "]") {
            name = authority[authority.index(after: authority.startIndex)..<close]
            let after = authority[authority.index(after: close)...]
            if after.hasPrefix(":") {
                guard let number = Int(after.dropFirst()) else { return nil }
                port = number
            } else if !after.isEmpty {
                return nil
            }
        } else if let colon = authority.firstIndex(of: ":") {
            guard let number = Int(authority[authority.index(after: colon)...]) else { return nil }
            port = number
            name = authority[..<colon]
        }
        guard !name.isEmpty, (1...65535).contains(port) else { return nil }
        host = String(name)
        self.port = port
    }
}
