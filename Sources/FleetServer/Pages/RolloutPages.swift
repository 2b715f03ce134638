internal import FleetOperations
internal import FleetPlan
internal import FleetReport
internal import FleetRollout
internal import FleetServing
internal import FleetTransport
internal import HTTPTypes

/// A rollout: what it does, live; what hosts print; its report; asking it to stop.
struct RolloutPages: Sendable {
    let pages: Pages
    let counters: Counters
    let feeds: RolloutFeeds
    private let rights: RightsCheck
    private var engine: ServerEngine { pages.engine }
    private var records: Records { engine.controller.records }

    init(_ pages: Pages, _ counters: Counters) {
        self.pages = pages
        self.counters = counters
        rights = RightsCheck(engine: pages.engine)
        feeds = RolloutFeeds(pages.engine) { board, id, since in
            pages.render("board", BoardModel(board, id, since: since))
        }
    }

    /// How much of what a host printed is shown at once, in bytes.
    private static let tailBytes = 64 << 10

    var routes: [Route] {
        [
            Route(.get, "/rollouts", .server(.view), .page) { try await history($0) },
            Route(.get, "/rollouts/{rollout}", .rollout(.view), .page) { try await rollout($0) },
            Route(.get, "/rollouts/{rollout}/live", .rollout(.view), .page) { try await live($0) },
            Route(.get, "/rollouts/{rollout}/report", .rollout(.view), .page) {
                try await report($0)
            },
            Route(.get, "/rollouts/{rollout}/hosts/{host}", .rollout(.view), .page) {
                try await host($0)
            },
            Route(.get, "/rollouts/{rollout}/hosts/{host}/output", .rollout(.view), .page) {
                try await output($0)
            },
            Route(.post, "/rollouts/{rollout}/stop", .rollout(.stop), .page) { try await stop($0) },
        ]
    }

    /// One rollout in a list.
    struct Line {
        let path: String
        let rollout: String
        let what: String
        let outcome: String
        let look: String
        let glyph: String
        let hosts: Int
        let by: String
        let began: String
        let iso: String
        let took: String

        init(_ line: HistoryLine, withEnvironment: Bool = false) {
            path = "/rollouts/\(line.rollout)"
            rollout = line.rollout
            let release = line.release.isEmpty ? line.title : line.release
            what =
                "\(line.kind.rawValue) \(release)"
                + (withEnvironment ? " to \(line.environment)" : "")
            outcome = line.outcome?.rawValue ?? "unfinished"
            (look, glyph) = Pages.look(line.outcome?.rawValue)
            hosts = line.hosts
            by = line.user
            began = Pages.time(line.startedUnixMilliseconds)
            iso = Pages.iso(line.startedUnixMilliseconds)
            took = line.milliseconds.map { DurationText.short(milliseconds: $0) } ?? ""
        }
    }

    private func history(_ call: Call) async throws -> Reply {
        var request = HistoryRequest()
        request.limit = 100
        request.environment = call.query["environment"]
        request.release = call.query["release"]
        request.host = call.query["host"]
        let lines = try await records.history(request).filter {
            call.may(.view, in: $0.environment, isProtected: true)
        }
        struct Name { let name: String }
        struct Model {
            let frame: Pages.Frame
            let environment: String
            let release: String
            let host: String
            let environments: [Name]
            let rollouts: [Line]
        }
        return pages.page(
            "history",
            Model(
                frame: await pages.frame("Rollouts", call, at: "/rollouts"),
                environment: request.environment ?? "",
                release: request.release ?? "",
                host: request.host ?? "",
                environments: try await engine.environments().filter {
                    call.may(.view, in: $0, isProtected: true)
                }.map(Name.init),
                rollouts: lines.map { Line($0, withEnvironment: true) }
            )
        )
    }

    // MARK: One of them

    /// The live part of a rollout's page.
    struct BoardModel {
        struct Batch {
            let number: Int
            let hosts: String
            let all: Int
            let done: Int
            let failed: Int?
            let look: String
        }
        struct Failed {
            let hosts: String
            let count: Int?
            let cause: String
        }
        struct Row {
            let path: String
            let host: String
            let batch: String
            let state: String
            let time: String?
            let look: String
            let glyph: String
            let summary: String
            let cells: [Cell]
        }
        struct Cell {
            let name: String
            let look: String
        }
        struct Mark {
            let at: String
            let line: String
            let look: String
        }

        let look: String
        let glyph: String
        let phase: String
        let sentence: String
        let total: Int
        let done: Int
        let elapsed: String
        let hasBatches: Bool
        let batches: [Batch]
        let hasFailures: Bool
        let failures: [Failed]
        let rows: [Row]
        let rest: [RolloutBoard.Rest]
        let course: [Mark]

        /// How many lines of the course are shown.
        private static let mostMarks = 30
        /// How many batches and failures are shown.
        private static let most = 20

        /// - Parameters:
        ///   - board: The rollout.
        ///   - id: Its name.
        ///   - since: How long ago its last record was, in milliseconds.
        init(_ board: RolloutBoard, _ id: RolloutID, since: Int = 0) {
            let outcome = board.rollout.outcome?.rawValue
            let isHalted = board.rollout.halted != nil
            (look, glyph) =
                outcome == nil
                ? (isHalted ? "bad" : "run", isHalted ? "✕" : "▸") : Pages.look(outcome)
            phase = board.phase
            sentence = board.sentence ?? ""
            total = board.plan.hosts.count
            done = board.done
            elapsed = DurationText.short(milliseconds: board.milliseconds + since)
            let strip = board.strip()
            hasBatches = strip.count > 1
            batches = strip.prefix(Self.most).map { batch in
                Batch(
                    number: batch.number,
                    hosts: batch.hosts,
                    all: batch.counts.all,
                    done: batch.counts.done,
                    failed: batch.counts.failed > 0 ? batch.counts.failed : nil,
                    look: batch.counts.failed > 0
                        ? "bad"
                        : batch.isCurrent
                            ? "run" : batch.counts.done == batch.counts.all ? "good" : ""
                )
            }
            let causes = board.failures()
            hasFailures = !causes.isEmpty
            failures = causes.prefix(Self.most).map {
                Failed(hosts: $0.hosts, count: $0.count > 1 ? $0.count : nil, cause: $0.cause)
            }
            let (rows, rest) = board.rows()
            self.rest = rest
            self.rows = rows.map { row in
                let ok = row.cells.count { $0.cell == .ok }
                return Row(
                    path: "/rollouts/\(id)/hosts/\(Percent.encoded(row.host))",
                    host: row.host,
                    batch: row.batch == 0 ? "" : "\(row.batch)",
                    state: row.state,
                    time: row.milliseconds.map { DurationText.short(milliseconds: $0 + since) },
                    look: row.failure != nil ? "bad" : row.isGood ? "good" : "",
                    glyph: row.failure != nil ? "✕" : row.isGood ? "✓" : row.isRunning ? "▸" : "·",
                    summary: "\(ok) of \(row.cells.count) steps are done"
                        + (row.cells.contains { $0.cell == .failed } ? ", one has failed" : ""),
                    cells: row.cells.map { Cell(name: $0.name, look: $0.cell.rawValue) }
                )
            }
            course = board.course.suffix(Self.mostMarks).map {
                Mark(
                    at: DurationText.short(milliseconds: $0.milliseconds),
                    line: $0.line,
                    look: $0.isBad ? "bad" : ""
                )
            }
        }
    }

    private func board(_ story: Records.Story) -> RolloutBoard {
        var board = RolloutBoard(plan: story.rollout.plan)
        board.take(story.entries)
        return board
    }

    private func rollout(_ call: Call) async throws -> Reply {
        guard let id = call.rollout else { throw Refusal(.notFound, "there is no such rollout") }
        let story = try await records.story(of: id, withOutputs: false)
        let plan = story.rollout.plan
        let environment = plan.environment
        let isProtected = engine.isProtected(environment, in: await engine.keeper.version)
        let outcome = story.rollout.outcome
        let holder = try engine.holder(of: environment)
        // One that was just taken up again has an end until its first new record.
        let isHere = engine.rollouts.running(id).map { !$0.isOver } ?? false
        let isUnderWay = isHere || outcome == nil && holder != nil
        let isOpen = !isUnderWay && (outcome == nil || outcome == .interrupted)
        struct Model {
            let frame: Pages.Frame
            let title: String
            let id: String
            let path: String
            let environment: String
            let environmentPath: String
            let who: String
            let why: String?
            let began: String
            let iso: String
            let mayStop: Bool
            let mayResume: Bool
            let mayRevert: Bool
            // The parts of the board, where its template looks for them.
            let look: String
            let glyph: String
            let phase: String
            let sentence: String
            let total: Int
            let done: Int
            let elapsed: String
            let hasBatches: Bool
            let batches: [BoardModel.Batch]
            let hasFailures: Bool
            let failures: [BoardModel.Failed]
            let rows: [BoardModel.Row]
            let rest: [RolloutBoard.Rest]
            let course: [BoardModel.Mark]
        }
        let drawn = BoardModel(board(story), id)
        let began = story.entries.first?.unixMilliseconds ?? 0
        var frame = await pages.frame(PlanText.headline(plan), call, at: "/rollouts")
        if isUnderWay { frame.stream = "/rollouts/\(id)/live" }
        if call.query["done"] == "stopped" { frame.notice = "It was asked to stop." }
        let mayRevert = call.may(.revert, in: environment, isProtected: isProtected)
        let changed =
            outcome == .succeeded || outcome == .held || outcome == .revertFailed
            || outcome == .unknown
        return pages.page(
            "rollout",
            Model(
                frame: frame,
                title: PlanText.headline(plan),
                id: id.description,
                path: "/rollouts/\(id)",
                environment: environment,
                environmentPath: OverviewPages.path(environment),
                who: "\(story.origin.user) on \(story.origin.machine)",
                why: story.origin.reason,
                began: Pages.time(began),
                iso: Pages.iso(began),
                mayStop: isUnderWay && call.may(.stop, in: environment, isProtected: isProtected),
                mayResume: isOpen && plan.kind != .exec && mayRevert,
                mayRevert: changed && plan.kind == .deploy && mayRevert,
                look: drawn.look,
                glyph: drawn.glyph,
                phase: drawn.phase,
                sentence: drawn.sentence,
                total: drawn.total,
                done: drawn.done,
                elapsed: drawn.elapsed,
                hasBatches: drawn.hasBatches,
                batches: drawn.batches,
                hasFailures: drawn.hasFailures,
                failures: drawn.failures,
                rows: drawn.rows,
                rest: drawn.rest,
                course: drawn.course
            )
        )
    }

    /// The page's live part, as it changes (https://html.spec.whatwg.org/multipage/server-sent-events.html).
    private func live(_ call: Call) async throws -> Reply {
        guard let id = call.rollout else { throw Refusal(.notFound, "there is no such rollout") }
        try counters.requireRoomForStream()
        let last = call.headers[.lastEventID].flatMap { Int($0) } ?? -1
        var reply = Reply(
            status: .ok,
            body: .stream { sink in
                counters.streamBegan()
                defer { counters.streamEnded() }
                // The first picture is sent even if the page has it: it shows that the stream is there.
                var isFirst = true
                await feeds.watch(id) { picture in
                    guard await rights.mayStillWatch(call, pages.sessions) else {
                        try? await sink.send(Array("event: refused\ndata: \n\n".utf8))
                        return false
                    }
                    var text = ""
                    if picture.html.isEmpty, !picture.isOver {
                        text = ":\n\n"
                    } else if isFirst || picture.sequence != last || picture.isOver {
                        text = Self.event("board", id: picture.sequence, picture.html)
                        if picture.isOver { text += Self.event("over", id: picture.sequence, "") }
                    }
                    isFirst = false
                    guard !text.isEmpty else { return true }
                    // A reader that has gone, or does not read, is given up.
                    do { try await sink.send(Array(text.utf8)) } catch { return false }
                    return true
                }
            }
        )
        reply.headers[.contentType] = "text/event-stream"
        // nginx would keep the answer until it is complete.
        return reply.with(.accelBuffering, "no")
    }

    static func event(_ name: String, id: Int, _ data: String) -> String {
        "id: \(id)\nevent: \(name)\n"
            + data.split(separator: "\n", omittingEmptySubsequences: false).map { "data: \($0)\n" }
            .joined() + "\n"
    }

    private func report(_ call: Call) async throws -> Reply {
        guard let id = call.rollout else { throw Refusal(.notFound, "there is no such rollout") }
        let report = try await records.report(of: id, zone: .utc)
        // It is a file that stands on its own, with its style in it.
        return Reply.page(ReportPage(report).html()).with(
            .securityPolicy,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        )
    }

    private func host(_ call: Call) async throws -> Reply {
        guard let id = call.rollout, let name = call.parameters["host"] else {
            throw Refusal(.notFound, "there is no such host")
        }
        let story = try await records.story(of: id, withOutputs: true)
        let board = board(story)
        guard let row = board.rows(limit: 1, with: name).rows.first, row.host == name else {
            throw Refusal(.notFound, "`\(Sanitizer.line(name))` is not among its hosts")
        }
        struct Output {
            let step: String
            let text: String
            let cut: String?
        }
        struct Model {
            let frame: Pages.Frame
            let environment: String
            let environmentPath: String
            let path: String
            let id: String
            let host: String
            let hostPath: String
            let state: String
            let look: String
            let failure: String?
            let outputs: [Output]
        }
        return pages.page(
            "host",
            Model(
                frame: await pages.frame("\(name) in \(id)", call, at: "/rollouts"),
                environment: board.plan.environment,
                environmentPath: OverviewPages.path(board.plan.environment),
                path: "/rollouts/\(id)",
                id: id.description,
                host: name,
                hostPath: Percent.encoded(name),
                state: row.state,
                look: row.failure != nil ? "bad" : row.isGood ? "good" : "",
                failure: row.failure,
                outputs: story.outputs.filter { $0.host == name && !$0.bytes.isEmpty }.map {
                    output in
                    let shown = output.bytes.suffix(Self.tailBytes)
                    let left = output.bytes.count - shown.count
                    var cut: [String] = []
                    if left > 0 { cut.append("\(left) bytes before this are in the file") }
                    if output.droppedBytes > 0 {
                        cut.append("\(output.droppedBytes) bytes in the middle were not kept")
                    }
                    return Output(
                        step: output.step,
                        text: String(decoding: shown, as: UTF8.self),
                        cut: cut.isEmpty ? nil : cut.joined(separator: "; ")
                    )
                }
            )
        )
    }

    private func output(_ call: Call) async throws -> Reply {
        guard let id = call.rollout, let name = call.parameters["host"] else {
            throw Refusal(.notFound, "there is no such host")
        }
        let story = try await records.story(of: id, withOutputs: true)
        var bytes: [UInt8] = []
        for output in story.outputs where output.host == name {
            bytes += Array("==> \(Sanitizer.line(output.step)) <==\n".utf8) + output.bytes
            if bytes.last != 0x0A { bytes.append(0x0A) }
        }
        // As text, whatever is in it, and never shown by the browser as something else.
        return Reply(
            status: .ok,
            headers: [.contentType: "text/plain; charset=utf-8"],
            body: .bytes(bytes)
        )
        .with(.contentDisposition, "attachment; filename=\"\(id).log\"")
    }

    private func stop(_ call: Call) async throws -> Reply {
        guard let id = call.rollout, let point = call.form["after"].flatMap(StopRequest.Point.init)
        else {
            throw Refusal(.badRequest, "when?")
        }
        try await engine.stop(id, after: point, reason: call.form["reason"], by: call.person)
        return .see("/rollouts/\(id)?done=stopped")
    }
}
