internal import Dispatch
internal import FleetReport
package import FleetTransport
internal import Synchronization

/// Shows how far transfers have come, on one line that is drawn again and again.
///
/// Drawing happens on a queue of its own: a terminal that stopped reading stops only that queue.
package final class TransferMeter: Sendable {
    private let transfers = Transfers()
    private let terminal = Terminal.standardError
    private let queue = DispatchQueue(label: "fleet.transfers")
    private let ticker: Task<Void, Never>?

    package init(isShown: Bool) {
        let (transfers, terminal, queue) = (transfers, terminal, queue)
        guard isShown else {
            ticker = nil
            return
        }
        ticker = Task {
            // Nobody need watch what is over within a second.
            var pause = 1_000
            while true {
                do { try await Task.sleep(for: .milliseconds(pause)) } catch { return }
                pause = 200
                queue.async {
                    let all = transfers.all
                    guard !all.isEmpty else { return }
                    let line = LiveFrame.line(of: all, width: terminal.size.width - 1)
                    terminal.write("\r\u{1B}[K" + line)
                }
            }
        }
    }

    package func note(_ host: HostName, _ bytes: Int, _ total: Int) {
        transfers.note(host, LiveFrame.Transfer(bytes: bytes, total: total))
    }

    /// Takes the line away.
    package func finish() {
        guard let ticker else { return }
        ticker.cancel()
        let done = DispatchSemaphore(value: 0)
        queue.async { [terminal] in
            terminal.write("\r\u{1B}[K")
            done.signal()
        }
        _ = done.wait(timeout: .now() + 2)
    }

    /// How far each host's transfer has come.
    private final class Transfers: Sendable {
        private let state = Mutex<[HostName: LiveFrame.Transfer]>([:])

        var all: [LiveFrame.Transfer] { state.withLock { Array($0.values) } }

        func note(_ host: HostName, _ transfer: LiveFrame.Transfer) {
            state.withLock { $0[host] = transfer }
        }
    }
}
