internal import FleetOperations
package import FleetPlan
package import FleetReport
package import FleetRollout
package import FleetRunner
internal import FleetTransport
internal import Synchronization

/// A rollout that is carried out, as it is shown: live on standard error, its records and its end on standard output.
package final class RolloutView: Sendable {
    /// How it is shown.
    package struct Settings: Sendable {
        /// How the progress is shown; not ``ProgressForm/auto``.
        package var progress: ProgressForm
        /// Whether somebody asked for that form, and did not leave it to what standard error is.
        package var isAskedFor = false
        /// Whether events are printed on standard output, instead of the end.
        package var printsEvents: Bool
        /// Whether what hosts print last is shown.
        package var isVerbose = false
        /// How long such a rollout usually takes, in milliseconds.
        package var usualMilliseconds: Int?
        /// The system that runs this as a job; nil for none.
        package var system: CISystem?

        package init(progress: ProgressForm, printsEvents: Bool) {
            self.progress = progress
            self.printsEvents = printsEvents
        }
    }

    private let screen = Screen()
    private let outputs = HostOutputs()
    private let settings: Settings
    private let events: EventOutput?
    private let progressEvents: EventOutput?
    private let section = "fleet_progress"

    /// Chooses what is shown.
    package init(_ settings: Settings) {
        self.settings = settings
        events = settings.printsEvents ? EventOutput(.standardOutput) : nil
        progressEvents = settings.progress == .json ? EventOutput(.standardError) : nil
    }

    /// Whether there is a view of text.
    private var isShown: Bool { settings.progress == .live || settings.progress == .plain }

    /// Takes what has happened, on any thread; never waits for a reader.
    package func take(_ update: RolloutUpdate) {
        switch update {
        case .printed(let host, let output): outputs.add(output, of: host)
        case .began(let host, let output): screen.view?.began(host, output)
        case .transferred(let host, let bytes, let total):
            screen.view?.transferred(host, bytes, of: total)
        case .recorded(let entries):
            if isShown { screen.show(entries) }
            events?.take(entries)
            progressEvents?.take(entries)
        }
    }

    /// Says something at the end of a live view, in place of what was said there before.
    func note(_ text: String) { screen.view?.note(text) }

    /// Begins to show it.
    ///
    /// - Parameters:
    ///   - plan: What is carried out.
    ///   - earlier: What was recorded of it before.
    ///   - isNews: Whether that was never shown here: then events and lines begin with it. A live view shows what is,
    ///     not what was.
    ///   - style: How text is marked.
    ///   - wish: Called with what a key asks for.
    package func begin(
        _ plan: Plan,
        replaying earlier: [JournalEntry],
        isNews: Bool = false,
        style: Style,
        wish: @escaping @Sendable (LiveView.Wish) -> Void = { _ in }
    ) {
        for output in [events, progressEvents] {
            output?.begin(plan, isNews ? [] : earlier)
            if isNews { output?.take(earlier) }
        }
        guard isShown else { return }
        if let system = settings.system {
            Terminal.standardError.command(
                system.begin(PlanText.headline(plan), name: section, at: Self.seconds)
            )
        }
        var live = LiveView.Settings(isLive: settings.progress == .live)
        live.isVerbose = settings.isVerbose
        live.usualMilliseconds = settings.usualMilliseconds
        live.wish = wish
        guard isNews, let last = earlier.last else {
            return screen.begin(
                LiveView(plan: plan, replaying: earlier, settings: live, style: style)
            )
        }
        live.elapsedMilliseconds =
            last.elapsedMilliseconds + max(0, LocalTimes.unixMilliseconds - last.unixMilliseconds)
        let isLines = settings.progress == .plain
        screen.begin(
            LiveView(
                plan: plan,
                replaying: isLines ? [] : earlier,
                settings: live,
                style: style
            )
        )
        if isLines { screen.show(earlier) }
    }

    /// Ends the view, and waits until every event is printed.
    package func finish() {
        screen.view?.finish()
        events?.finish()
        progressEvents?.finish()
        if isShown, let system = settings.system {
            Terminal.standardError.command(system.end(section, at: Self.seconds))
        }
    }

    private static var seconds: Int { LocalTimes.unixMilliseconds / 1000 }

    /// Prints what became of the rollout, if its events were not printed.
    package func report(_ rollout: Rollout, id: RolloutID, at milliseconds: Int, style: Style) {
        guard events == nil else { return }
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

/// Prints a rollout's events on a stream, a line each.
private final class EventOutput: Sendable {
    private let output: QueuedOutput
    /// What makes the lines, and records that came before it was there.
    private let state = Mutex<(lines: EventLines?, waiting: [JournalEntry])>((nil, []))

    init(_ terminal: Terminal) { output = QueuedOutput(terminal) }

    func begin(_ plan: Plan, _ earlier: [JournalEntry]) {
        state.withLock { state in
            var lines = EventLines(plan: plan)
            // What was printed then is not printed again.
            for entry in earlier { _ = lines.lines(for: entry) }
            state.lines = lines
            printWaiting(&state)
        }
    }

    func take(_ entries: [JournalEntry]) {
        state.withLock { state in
            state.waiting += entries
            printWaiting(&state)
        }
    }

    private func printWaiting(_ state: inout (lines: EventLines?, waiting: [JournalEntry])) {
        guard state.lines != nil else { return }
        for entry in state.waiting {
            for line in state.lines?.lines(for: entry) ?? [] {
                output.write(JSONLine.bytes(of: line))
            }
        }
        state.waiting = []
    }

    func finish() { output.finish() }
}
