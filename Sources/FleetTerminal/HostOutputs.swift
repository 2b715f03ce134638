package import FleetRunner
package import FleetTransport
internal import Synchronization

/// What the hosts printed, by host.
package final class HostOutputs: Sendable {
    private let outputs = Mutex<[HostName: OutputCapture]>([:])

    /// Nothing was printed yet.
    package init() {}

    package func add(_ output: OutputCapture, of host: HostName) {
        outputs.withLock { $0[host] = output }
    }

    package subscript(host: HostName) -> OutputCapture? { outputs.withLock { $0[host] } }
}
