package import FleetTransport

/// Takes output that nobody wants.
package struct DiscardingSink: OutputSink {
    package func write(_ bytes: UnsafeRawBufferPointer) {}
}

/// Keeps the first bytes of an output.
///
/// `@unchecked Sendable`: written on the reactor, read there after the command has ended.
package final class CollectingSink: OutputSink, @unchecked Sendable {
    private let limitBytes: Int
    private var bytes: [UInt8] = []

    package init(limitBytes: Int) { self.limitBytes = limitBytes }

    package func write(_ bytes: UnsafeRawBufferPointer) {
        self.bytes += bytes.prefix(max(0, limitBytes - self.bytes.count))
    }

    package var text: String { String(decoding: bytes, as: UTF8.self) }

    package func forward(to sink: any OutputSink) { bytes.withUnsafeBytes { sink.write($0) } }
}
