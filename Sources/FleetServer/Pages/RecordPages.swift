internal import FleetJournal
internal import FleetOperations
internal import FleetPlan
internal import FleetProject
internal import FleetReport
internal import FleetServing
internal import HTTPTypes

/// Lists: approvals, releases, audit, deliveries, and what the project's files ask for.
struct RecordPages: Sendable {
    let pages: Pages
    let dispatcher: Dispatcher
    private var engine: ServerEngine { pages.engine }
    private var records: Records { engine.controller.records }

    var routes: [Route] {
        [
            Route(.get, "/approvals", .server(.view), .page) { try await approvals($0) },
            Route(.get, "/releases", .server(.view), .page) { try await releases($0) },
            Route(.get, "/audit", .server(.view), .page) { try await audit($0) },
            Route(.get, "/audit/export", .server(.administer), .page) { try await export($0) },
            Route(.get, "/deliveries", .server(.view), .page) { try await deliveries($0) },
            Route(.post, "/deliveries/{delivery}/again", .server(.administer), .page) {
                try await again($0)
            },
            Route(.get, "/project", .server(.view), .page) { try await project($0) },
            Route(.post, "/project/agree", .server(.administer), .page) { try await agree($0) },
        ]
    }

    private func visible(_ call: Call) async throws -> [String] {
        try await engine.environments().filter { call.may(.view, in: $0, isProtected: true) }
    }

    private func approvals(_ call: Call) async throws -> Reply {
        struct Waiting {
            let label: String
            let release: String
            let environment: String
            let environmentPath: String
            let by: String
            let since: String
            let iso: String
            let commit: String
            let reasons: [Pages.Text]
            let mayApprove: Bool
        }
        struct Given {
            let release: String
            let commit: String
            let environment: String
            let environmentPath: String
            let by: String
            let when: String
            let iso: String
            let until: String
            let look: String
            let note: String
            let mayWithdraw: Bool
        }
        struct Model {
            let frame: Pages.Frame
            let hasWaiting: Bool
            let waiting: [Waiting]
            let given: [Given]
        }
        let environments = try await visible(call)
        let version = await engine.keeper.version
        let waiting = try await engine.store.openWishes().filter {
            Pages.waitsForApproval($0) && environments.contains($0.environment)
        }.map { wish in
            var reasons: [String] = []
            if case .held(let why) = wish.state { reasons = why }
            return Waiting(
                label: wish.label,
                release: wish.tag ?? wish.commit,
                environment: wish.environment,
                environmentPath: OverviewPages.path(wish.environment),
                by: wish.person.name,
                since: Pages.time(wish.unixMilliseconds),
                iso: Pages.iso(wish.unixMilliseconds),
                commit: String(wish.commit.prefix(12)),
                reasons: reasons.map(Pages.Text.init),
                mayApprove: call.may(
                    .approve,
                    in: wish.environment,
                    isProtected: engine.isProtected(wish.environment, in: version)
                )
            )
        }
        var given: [Given] = []
        for environment in environments {
            let isProtected = engine.isProtected(environment, in: version)
            for approval in try await engine.approvals(for: environment).prefix(30) {
                let holds = approval.expiresUnixMilliseconds > call.now && !approval.isWithdrawal
                given.append(
                    Given(
                        release: approval.release.label,
                        commit: String(approval.release.commit.prefix(12)),
                        environment: environment,
                        environmentPath: OverviewPages.path(environment),
                        by: approval.approver,
                        when: Pages.time(approval.unixMilliseconds),
                        iso: Pages.iso(approval.unixMilliseconds),
                        until: approval.isWithdrawal
                            ? "withdrawn"
                            : (holds ? "" : "expired ")
                                + Pages.time(approval.expiresUnixMilliseconds),
                        look: holds ? "" : "dim",
                        note: approval.note,
                        mayWithdraw: holds
                            && approval.approver == (call.person.address ?? call.person.name)
                            && call.may(.approve, in: environment, isProtected: isProtected)
                    )
                )
            }
        }
        return pages.page(
            "approvals",
            Model(
                frame: await pages.frame("Approvals", call, at: "/approvals"),
                hasWaiting: !waiting.isEmpty,
                waiting: waiting,
                given: given.sorted { $0.iso > $1.iso }
            )
        )
    }

    private func releases(_ call: Call) async throws -> Reply {
        struct Name { let name: String }
        struct Cell {
            let text: String
            let look: String
        }
        struct Row {
            let release: String
            let commit: String
            let date: String
            let cells: [Cell]
        }
        struct Model {
            let frame: Pages.Frame
            let problem: String?
            let environments: [Name]
            let releases: [Row]
        }
        let environments = try await visible(call)
        var lines: [ReleaseLine] = []
        var problem: String?
        if let project = await engine.keeper.version?.project {
            do { lines = try await records.releases(in: project.root, limit: 50) } catch {
                problem = error.message
            }
        }
        func cell(_ line: ReleaseLine, _ environment: String) -> Cell {
            if line.live.contains(environment) { return Cell(text: "✓ runs", look: "good") }
            if line.quarantined.contains(environment) {
                return Cell(text: "↺ taken back", look: "warn")
            }
            if line.superseded.contains(environment) {
                return Cell(text: "ran before", look: "dim")
            }
            return Cell(text: "", look: "")
        }
        if lines.isEmpty, problem == nil {
            problem =
                "The project’s repository has no tags that are versions, or is not the application’s."
        }
        return pages.page(
            "releases",
            Model(
                frame: await pages.frame("Releases", call, at: "/releases"),
                problem: problem,
                environments: environments.map(Name.init),
                releases: lines.map { line in
                    Row(
                        release: line.release,
                        commit: String(line.commit.prefix(12)),
                        date: line.date,
                        cells: environments.map { cell(line, $0) }
                    )
                }
            )
        )
    }

    // MARK: Who did what

    private func lines(_ call: Call, limit: Int) async throws -> [AuditLine] {
        let who = call.query["who"]?.lowercased()
        return try await records.audit(of: call.query["environment"], limit: limit).filter { line in
            call.may(.view, in: line.environment, isProtected: true)
                && (who.map { line.who.lowercased().contains($0) } ?? true)
        }
    }

    private func audit(_ call: Call) async throws -> Reply {
        struct Line {
            let when: String
            let iso: String
            let environment: String
            let who: String
            let what: String
            let path: String?
            let release: String
            let outcome: String
            let why: String
        }
        struct Event {
            let when: String
            let iso: String
            let who: String
            let what: String
            let address: String
        }
        struct Model {
            let frame: Pages.Frame
            let environment: String
            let environmentQuery: String
            let who: String
            let lines: [Line]
            let mayAdminister: Bool
            let events: [Event]
        }
        let mayAdminister = call.may(.administer, in: nil, isProtected: false)
        let events = mayAdminister ? try await engine.store.events(limit: 100) : []
        let environment = call.query["environment"] ?? ""
        return pages.page(
            "audit",
            Model(
                frame: await pages.frame("Audit", call, at: "/audit"),
                environment: environment,
                environmentQuery: Percent.encoded(environment),
                who: call.query["who"] ?? "",
                lines: try await lines(call, limit: 200).map { line in
                    let overridden = line.overridden.map {
                        "overrides \($0.joined(separator: ", "))"
                    }
                    return Line(
                        when: Pages.time(line.unixMilliseconds),
                        iso: Pages.iso(line.unixMilliseconds),
                        environment: line.environment,
                        who: line.who,
                        what: line.what,
                        path: line.outcome == nil ? nil : "/rollouts/\(line.name)",
                        release: line.release ?? line.title ?? "",
                        outcome: line.outcome ?? "",
                        why: [overridden, line.why].compactMap { $0 }.joined(separator: "; ")
                    )
                },
                mayAdminister: mayAdminister,
                events: events.map {
                    Event(
                        when: Pages.time($0.unixMilliseconds),
                        iso: Pages.iso($0.unixMilliseconds),
                        who: $0.who,
                        what: $0.what,
                        address: $0.address
                    )
                }
            )
        )
    }

    private func export(_ call: Call) async throws -> Reply {
        Reply.lines(try await lines(call, limit: 100_000))
            .with(.contentDisposition, "attachment; filename=\"audit.jsonl\"")
    }

    // MARK: Deliveries

    private func deliveries(_ call: Call) async throws -> Reply {
        struct Row {
            let number: Int
            let when: String
            let iso: String
            let hook: String
            let event: String
            let state: String
            let look: String
            let note: String
            let mayPlay: Bool
        }
        struct Problem {
            let hook: String
            let text: String
        }
        struct Model {
            let frame: Pages.Frame
            let problems: [Problem]
            let deliveries: [Row]
            let older: Int?
        }
        let page = 50
        let found = try await engine.store.deliveries(
            limit: page,
            before: call.query["before"].flatMap { Int($0) }
        )
        let mayPlay = call.may(.administer, in: nil, isProtected: false)
        return pages.page(
            "deliveries",
            Model(
                frame: await pages.frame("Deliveries", call, at: "/deliveries"),
                problems: await dispatcher.problems.sorted { $0.key < $1.key }.map {
                    Problem(hook: $0.key, text: $0.value)
                },
                deliveries: found.filter { RightsCheck(engine: engine).maySee($0, call) }.map {
                    delivery in
                    Row(
                        number: delivery.number,
                        when: Pages.time(delivery.arrival.unixMilliseconds),
                        iso: Pages.iso(delivery.arrival.unixMilliseconds),
                        hook: delivery.arrival.hook,
                        event: delivery.arrival.event ?? "",
                        state: delivery.state.rawValue,
                        look: delivery.state == .invalid
                            ? "bad" : delivery.state == .accepted ? "warn" : "",
                        note: delivery.note,
                        mayPlay: mayPlay && delivery.state != .accepted
                    )
                },
                older: found.count == page ? found.last?.number : nil
            )
        )
    }

    private func again(_ call: Call) async throws -> Reply {
        guard let number = call.parameters["delivery"].flatMap({ Int($0) }),
            let delivery = try await engine.store.delivery(number)
        else { throw Refusal(.notFound, "there is no such delivery") }
        guard !delivery.arrival.body.isEmpty else {
            throw Refusal(.gone, "its body is no longer kept")
        }
        try await engine.store.postpone(
            number,
            until: call.now,
            note: "played again by \(call.person.name)"
        )
        try await engine.store.note(
            "played delivery \(number) again",
            by: call.person.name,
            from: call.address,
            at: call.now
        )
        engine.bell.ring()
        return .see("/deliveries")
    }

    // MARK: The project

    private func project(_ call: Call) async throws -> Reply {
        struct Model {
            let frame: Pages.Frame
            let branch: String
            let commit: String
            let looked: String
            let trust: String
            let problem: String?
            let doubt: String?
            let hasPending: Bool
            let pending: [Pages.Text]
            let digest: String
            let mayAdminister: Bool
        }
        let version = await engine.keeper.version
        let source = engine.keeper.source
        let trust =
            switch source.trust {
            case .branch: "whoever may push to the branch"
            case .signedCommits: "whoever signs its newest commit"
            case .ask: "an administrator, here"
            }
        return pages.page(
            "project",
            Model(
                frame: await pages.frame("Project", call, at: "/project"),
                branch: source.branch,
                commit: version?.commit ?? "none",
                looked: version.map {
                    $0.unixMilliseconds == 0
                        ? "before the server began" : Pages.ago($0.unixMilliseconds, now: call.now)
                } ?? "never",
                trust: trust,
                problem: await engine.keeper.problem?.message,
                doubt: version?.doubt,
                hasPending: !(version?.pending.isEmpty ?? true),
                pending: version?.pending.map(Pages.Text.init) ?? [],
                digest: version.map { Self.digest(of: $0.pending) } ?? "",
                mayAdminister: call.may(.administer, in: nil, isProtected: false)
            )
        )
    }

    static func digest(of pending: [String]) -> String {
        Secrets.hash(pending.sorted().joined(separator: "\n"))
    }

    private func agree(_ call: Call) async throws -> Reply {
        let pending = await engine.keeper.version?.pending ?? []
        guard Secrets.areEqual(call.form["digest"] ?? "", Self.digest(of: pending)) else {
            throw Refusal(
                .conflict,
                "E_STALE the project's files have changed since they were looked at",
                hints: ["look at them again", "nothing was agreed to"]
            )
        }
        try await engine.keeper.agree(to: pending, by: call.person.name)
        try await engine.store.note(
            "agreed to \(pending.count) settings of the project's files",
            by: call.person.name,
            from: call.address,
            at: call.now
        )
        await dispatcher.hurry()
        return .see("/project")
    }
}
