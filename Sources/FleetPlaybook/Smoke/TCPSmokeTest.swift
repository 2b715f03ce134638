internal import FleetTransport
internal import FleetYAML

/// `tcp: { port: 5432 }` passes when something on the host accepts a connection.
struct TCPSmokeTest: SmokeKind {
    static let key = "tcp"
    static let summary = "Connects to a TCP port as the host sees it."

    private let host: Template
    private let port: Template
    private let withinMilliseconds: Int
    private let written: String

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let fields = reader.fields(node, of: "`tcp`") else { return nil }
        let host = fields.text("host") ?? "127.0.0.1"
        let portNode = fields.node("port")
        let port = fields.requiredText("port")
        withinMilliseconds = fields.milliseconds("within") ?? 5000
        fields.refuseUnknown()
        guard let port, let portNode else { return nil }
        self.host = Template(host, location: node.location, reader: reader)
        self.port = Template(port, location: portNode.location, reader: reader)
        written = "\(host):\(port)"
    }

    var title: String { "connect to \(written)" }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        let text = try port.value(in: scope)
        guard let number = Int(text), (1...65535).contains(number) else {
            throw UndefinedReference(
                message: "`\(text)` is not a port",
                hint: nil,
                location: port.location
            )
        }
        return .tcp(
            TCPProbe(
                host: try host.value(in: scope),
                port: number,
                withinMilliseconds: withinMilliseconds
            )
        )
    }
}
