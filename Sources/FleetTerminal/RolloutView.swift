package import FleetOperations
internal import FleetPlan
package import FleetReport
package import FleetRollout
package import FleetRunner
internal import FleetTransport
internal import Synchronization

/// A rollout that is carried out, as it is shown: live on standard error, its records and its end on standard output.
package final class RolloutView: Sendable {
    private let screen = Screen()
    private let outputs = HostOutputs()
    private let isShown: Bool
    private let json: QueuedOutput?
    /// What makes the records' lines, and records that came before it was there.
    private let events = Mutex<(lines: EventLines?, waiting: [JournalEntry])>((nil, []))

    /// Chooses what is shown.
    ///
    /// - Parameters:
    ///   - isShown: Whether there is a live view.
    ///   - printsJSON: Whether each record is printed, instead of the end.
    package init(isShown: Bool, printsJSON: Bool) {
        self.isShown = isShown
        json = printsJSON ? QueuedOutput(.standardOutput) : nil
    }

    /// Takes what has happened, on any thread; never waits for a reader.
    package func take(_ update: RolloutUpdate) {
        switch update {
        case .printed(let host, let output): outputs.add(output, of: host)
        case .transferred(let host, let bytes, let total):
            screen.view?.transferred(host, bytes, of: total)
        case .recorded(let entries):
            if isShown { screen.show(entries) }
            guard json != nil else { return }
            events.withLock { events in
                events.waiting += entries
                printWaiting(&events)
            }
        }
    }

    private func printWaiting(_ events: inout (lines: EventLines?, waiting: [JournalEntry])) {
        guard events.lines != nil, let json else { return }
        for entry in events.waiting {
            for line in events.lines?.lines(for: entry) ?? [] {
                json.write(JSONLine.bytes(of: line))
            }
        }
        events.waiting = []
    }

    /// Begins the live view.
    package func begin(_ running: RunningRollout, style: Style) {
        if json != nil {
            events.withLock { events in
                var lines = EventLines(plan: running.plan)
                // What was printed then is not printed again.
                for entry in running.earlier { _ = lines.lines(for: entry) }
                events.lines = lines
                printWaiting(&events)
            }
        }
        guard isShown else { return }
        screen.begin(LiveView(plan: running.plan, replaying: running.earlier, style: style))
    }

    /// Ends the live view, and waits until every record is printed.
    package func finish() {
        screen.view?.finish()
        json?.finish()
    }

    /// Prints what became of the rollout, if its records were not printed.
    package func report(_ rollout: Rollout, id: RolloutID, at milliseconds: Int, style: Style) {
        guard json == nil else { return }
        let output = Terminal.standardOutput
        guard rollout.plan.kind == .exec else {
            let summary = RolloutText.summary(rollout, id: id, at: milliseconds, style: style)
            return output.write("\n\(summary)\n")
        }
        let answers = rollout.hosts.map { host in
            let isGood = host.outcome == .succeeded
            return FoldedOutput.Answer(
                host: host.name,
                status: isGood ? "ok" : Sanitizer.line(host.failure?.summary ?? "not run"),
                isGood: isGood,
                outputBytes: outputs[host.name]?.totalBytes ?? 0,
                hint: host.failure?.hint.map {
                    RolloutText.hint($0, environment: rollout.plan.environment, host: host.name)
                }
            )
        }
        let groups = FoldedOutput.groups(answers) { first, second in
            guard let one = outputs[first], let other = outputs[second] else { return true }
            return one.isSame(as: other)
        }
        for group in groups {
            output.write(group.header(style: style) + "\n")
            if let printed = outputs[group.hosts[0]] { output.print(printed) }
        }
    }
}
