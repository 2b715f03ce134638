internal import Dispatch
internal import FleetOperations
internal import Glibc

/// Ctrl-C and SIGTERM: the first drains, the second leaves at once with the journal intact.
final class OperatorSignals {
    private var sources: [any DispatchSourceSignal] = []

    init(_ running: RunningRollout) {
        let queue = DispatchQueue(label: "fleet.signals")
        var count = 0
        for number in [SIGINT, SIGTERM] {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                count += 1
                guard count > 1 else {
                    running.stop(signal: Int(number))
                    return
                }
                // Every record is durable already: there is nothing to save.
                Terminal.standardError.write(
                    "\nfleet: left at once; steps on the hosts go on. "
                        + "Next: fleet resume \(running.id)\n"
                )
                exit(128 + number)
            }
            source.activate()
            sources.append(source)
        }
    }

    deinit {
        for source in sources { source.cancel() }
        signal(SIGINT, SIG_DFL)
        signal(SIGTERM, SIG_DFL)
    }
}
