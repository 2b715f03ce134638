internal import FleetTransport

/// Takes output that nobody wants.
struct DiscardingSink: OutputSink {
    func write(_ bytes: UnsafeRawBufferPointer) {}
}

/// Keeps the first bytes of an output.
///
/// `@unchecked Sendable`: written on the reactor, read there after the command has ended.
final class CollectingSink: OutputSink, @unchecked Sendable {
    private let limitBytes: Int
    private var bytes: [UInt8] = []

    init(limitBytes: Int) { self.limitBytes = limitBytes }

    func write(_ bytes: UnsafeRawBufferPointer) {
        self.bytes += bytes.prefix(max(0, limitBytes - self.bytes.count))
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }

    func forward(to sink: any OutputSink) { bytes.withUnsafeBytes { sink.write($0) } }
}
