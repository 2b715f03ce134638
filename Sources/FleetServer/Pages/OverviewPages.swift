internal import FleetJournal
internal import FleetOperations
internal import FleetPlan
internal import FleetProject
internal import FleetReport
internal import FleetRollout
internal import FleetServing
internal import HTTPTypes

/// The overview, an environment, and what can be asked for there.
struct OverviewPages: Sendable {
    let pages: Pages
    let rights: RightsCheck
    let dispatcher: Dispatcher
    private var engine: ServerEngine { pages.engine }

    var routes: [Route] {
        [
            Route(.get, "/", .account, .page) { try await overview($0) },
            Route(.get, "/environments/{environment}", .environment(.view), .page) {
                try await environment($0)
            },
            Route(.get, "/environments/{environment}/health", .environment(.view), .page) {
                try await health($0)
            },
            Route(.get, "/environments/{environment}/hosts", .environment(.view), .page) {
                try await hosts($0)
            },
            Route(.post, "/environments/{environment}/deploy/preview", .environment(.deploy), .page)
            {
                try await preview($0, .deploy)
            },
            Route(.post, "/environments/{environment}/revert/preview", .environment(.revert), .page)
            {
                try await preview($0, .revert)
            },
            Route(.post, "/rollouts/{rollout}/resume/preview", .rollout(.revert), .page) {
                try await preview($0, .resume)
            },
            Route(.post, "/environments/{environment}/deploy/begin", .environment(.deploy), .page) {
                try await begin($0, .deploy)
            },
            Route(.post, "/environments/{environment}/revert/begin", .environment(.revert), .page) {
                try await begin($0, .revert)
            },
            Route(.post, "/environments/{environment}/approve", .environment(.approve), .page) {
                try await approve($0, withdraws: false)
            },
            Route(.post, "/environments/{environment}/withdraw", .environment(.approve), .page) {
                try await approve($0, withdraws: true)
            },
            Route(.post, "/wishes/{wish}/drop", .named(.deploy), .page) { try await drop($0) },
        ]
    }

    // MARK: Looking

    private struct Card {
        let environment: String
        let path: String
        let look: String
        let isProtected: Bool
        let live: String?
        let liveCommit: String
        let liveNote: String
        let wanted: String?
        let wantedState: String
        let now: String?
        let nowPath: String
        let last: String?
        let lastPath: String
        let lastLook: String
        let lastGlyph: String
        let lastOutcome: String
        let lastWhen: String
        let lastWho: String
        let closed: String?
        let health: String?
        let healthLook: String
        let spark: String
        let cardProblem: String?
    }

    private func card(_ card: EnvironmentCard, _ call: Call, spark: String) -> Card {
        let (lastLook, lastGlyph) = Pages.look(card.last?.outcome?.rawValue)
        let bad = card.health.count { $0.state != .healthy }
        let health =
            card.health.isEmpty
            ? nil
            : bad == 0
                ? "✓ \(card.health.count) of \(card.health.count) answers are healthy"
                : "✕ \(bad) of \(card.health.count) answers are not healthy"
        let isRunning = card.holder != nil && card.open != nil
        let look =
            card.problem != nil || bad > 0 || card.open != nil && !isRunning
            ? "bad"
            : isRunning ? "run" : lastLook == "bad" ? "bad" : lastLook == "warn" ? "warn" : "good"
        return Card(
            environment: card.environment,
            path: Self.path(card.environment),
            look: card.last == nil && !isRunning && card.problem == nil ? "" : look,
            isProtected: card.isProtected,
            live: card.live?.label,
            liveCommit: card.live.map { String($0.commit.prefix(12)) } ?? "",
            liveNote: card.last == nil
                ? "nothing was deployed by this server or account yet"
                : "hosts differ, or nothing is known",
            wanted: card.wanted?.label,
            wantedState: card.wanted?.state.word ?? "",
            now: card.open.map {
                isRunning
                    ? "rollout \($0) is under way"
                    : "rollout \($0) waits: resume it, or take it back"
            },
            nowPath: card.open.map { "/rollouts/\($0)" } ?? "",
            last: card.last.map {
                "\($0.kind.rawValue) \($0.release.isEmpty ? $0.title : $0.release)"
            },
            lastPath: card.last.map { "/rollouts/\($0.rollout)" } ?? "",
            lastLook: lastLook,
            lastGlyph: lastGlyph,
            lastOutcome: card.last?.outcome?.rawValue ?? "unfinished",
            lastWhen: card.last.map { Pages.ago($0.startedUnixMilliseconds, now: call.now) } ?? "",
            lastWho: card.last?.user ?? "",
            closed: card.closed,
            health: health,
            healthLook: bad == 0 ? "good" : "bad",
            spark: spark,
            cardProblem: card.problem
        )
    }

    static func path(_ environment: String) -> String {
        "/environments/\(Percent.encoded(environment))"
    }

    private func overview(_ call: Call) async throws -> Reply {
        struct Model {
            let frame: Pages.Frame
            let problem: String?
            let pending: String?
            let cards: [Card]
        }
        var cards: [Card] = []
        for name in try await engine.environments()
        where call.may(.view, in: name, isProtected: true) {
            let found = try await engine.card(of: name)
            let samples =
                found.health.isEmpty
                ? [] : try await engine.health(of: name, since: call.now - 3_600_000)
            cards.append(card(found, call, spark: HealthChart.spark(samples)))
        }
        let pending = await engine.keeper.version?.pending.count ?? 0
        return pages.page(
            "overview",
            Model(
                frame: await pages.frame("Environments", call, at: "/"),
                problem: await engine.keeper.problem?.message,
                pending: pending == 0 ? nil : pending == 1 ? "one thing" : "\(pending) things",
                cards: cards
            )
        )
    }

    private func environment(_ call: Call) async throws -> Reply {
        guard let name = call.environment, try await engine.environments().contains(name) else {
            throw Refusal(.notFound, "there is no such environment")
        }
        struct WishRow {
            let id: Int
            let label: String
            let commit: String
            let state: String
            let reasons: [Pages.Text]
            let rollout: String?
            let by: String
            let since: String
            let iso: String
            let mayDrop: Bool
        }
        struct Name { let name: String }
        struct Model {
            let frame: Pages.Frame
            let environment: String
            let path: String
            let isProtected: Bool
            let live: String?
            let liveCommit: String
            let liveNote: String
            let hosts: Int?
            let closed: String?
            let holder: String?
            let health: String?
            let healthLook: String
            let problem: String?
            let open: String?
            let hasWishes: Bool
            let wishes: [WishRow]
            let mayDeploy: Bool
            let mayOverride: Bool
            let mayApprove: Bool
            let releases: [Name]
            let rollouts: [RolloutPages.Line]
        }
        let found = try await engine.card(of: name)
        let card = card(found, call, spark: "")
        let mayDeploy = call.may(.deploy, in: name, isProtected: found.isProtected)
        let wishes = try await engine.store.wishes(of: name).suffix(8).reversed().map {
            wish -> WishRow in
            var reasons: [String] = []
            var rollout: String?
            switch wish.state {
            case .held(let why): reasons = why
            case .refused(let why), .dropped(let why): reasons = [why]
            case .running(let id), .done(let id, _): rollout = id
            case .awaitingCI, .queued, .starting: break
            }
            return WishRow(
                id: wish.id,
                label: wish.label,
                commit: String(wish.commit.prefix(12)),
                state: wish.state.word,
                reasons: reasons.map(Pages.Text.init),
                rollout: rollout,
                by: wish.person.name,
                since: Pages.time(wish.unixMilliseconds),
                iso: Pages.iso(wish.unixMilliseconds),
                mayDrop: mayDeploy && wish.state.isWaiting
            )
        }
        var request = HistoryRequest()
        request.environment = name
        var frame = await pages.frame(name, call)
        if let why = call.query["done"] { frame.notice = Self.notices[why] }
        return pages.page(
            "environment",
            Model(
                frame: frame,
                environment: name,
                path: card.path,
                isProtected: card.isProtected,
                live: card.live,
                liveCommit: card.liveCommit,
                liveNote: card.liveNote,
                hosts: found.hosts,
                closed: card.closed,
                holder: found.holder,
                health: card.health,
                healthLook: card.healthLook,
                problem: card.cardProblem,
                open: found.open?.description,
                hasWishes: !wishes.isEmpty,
                wishes: wishes,
                mayDeploy: mayDeploy,
                mayOverride: call.may(.override, in: name, isProtected: found.isProtected),
                mayApprove: call.may(.approve, in: name, isProtected: found.isProtected),
                releases: await releaseNames().map(Name.init),
                rollouts: try await engine.controller.records.history(request).map {
                    RolloutPages.Line($0)
                }
            )
        )
    }

    /// What is said after something was done; a query chooses a sentence, and cannot bring one of its own.
    private static let notices = [
        "approved": "The approval is recorded.", "withdrawn": "The withdrawal is recorded.",
        "dropped": "It is not wanted any more.",
    ]

    /// The tags of the project's clone, the newest first; none if it is not the application's.
    private func releaseNames() async -> [String] {
        guard let project = await engine.keeper.version?.project else { return [] }
        // Suggestions only: whoever knows the name can type it.
        let found = try? await engine.controller.records.releases(in: project.root, limit: 20)
        return found?.map(\.release) ?? []
    }

    private func health(_ call: Call) async throws -> Reply {
        let name = call.environment ?? ""
        let day = 86_400_000
        let samples = try await engine.health(of: name, since: call.now - day)
        struct Model {
            let frame: Pages.Frame
            let environment: String
            let path: String
            let note: String
            let series: [HealthChart.Series]
        }
        return pages.page(
            "health",
            Model(
                frame: await pages.frame("Health of \(name)", call),
                environment: name,
                path: Self.path(name),
                note: "The last 24 hours: how long each answer took, and which were not healthy.",
                series: HealthChart.series(samples, from: call.now - day, to: call.now)
            )
        )
    }

    private func hosts(_ call: Call) async throws -> Reply {
        let name = call.environment ?? ""
        let (operations, _) = try await engine.operations(
            for: call.person,
            command: "status \(name)"
        )
        let status = try await operations.status(of: HostSelection(name))
        struct Row {
            let host: String
            let runs: String
            let commit: String
            let state: String
            let look: String
            let glyph: String
        }
        struct Model {
            let frame: Pages.Frame
            let environment: String
            let path: String
            let reminder: String?
            let rows: [Row]
        }
        // What is wrong comes first.
        let rows = status.hosts.filter { !$0.isGood } + status.hosts.filter(\.isGood)
        return pages.page(
            "hosts",
            Model(
                frame: await pages.frame("Hosts of \(name)", call),
                environment: name,
                path: Self.path(name),
                reminder: status.reminder,
                rows: rows.map {
                    Row(
                        host: $0.host,
                        runs: $0.runs,
                        commit: String($0.commit.prefix(12)),
                        state: $0.state,
                        look: $0.isGood ? "good" : "bad",
                        glyph: $0.isGood ? "✓" : "✕"
                    )
                }
            )
        )
    }

    // MARK: Asking for something

    private enum Verb { case deploy, revert, resume }

    private func preview(_ call: Call, _ verb: Verb) async throws -> Reply {
        let form = call.form
        guard let name = call.environment else {
            throw Refusal(.notFound, "there is no such environment")
        }
        let request = try request(verb, name, call)
        try await rights.require(request, call, in: name)
        let found = try await engine.preview(request, for: call.person)
        struct Model {
            let frame: Pages.Frame
            let environment: String
            let path: String
            let headline: String
            let hasObjections: Bool
            let objections: [Pages.Text]
            let hasLeftOut: Bool
            let leftOut: String
            let hasTouched: Bool
            let touched: String
            let outlook: String?
            let plan: String
            let digest: String
            let commit: String
            let action: String
            let id: String
            let isProtected: Bool
            let danger: String
            let button: String
        }
        let outlook = OutlookText.whole(found.outlook, style: .plain)
        let isBack = verb != .deploy
        _ = form
        return pages.page(
            "preview",
            Model(
                frame: await pages.frame("Look at it first", call),
                environment: name,
                path: Self.path(name),
                headline: PlanText.headline(found.plan),
                hasObjections: !found.objections.isEmpty,
                objections: found.objections.map(Pages.Text.init),
                hasLeftOut: !found.leftOut.isEmpty,
                leftOut: found.leftOut.joined(separator: ", "),
                hasTouched: !found.touched.isEmpty,
                touched: found.touched.joined(separator: ", "),
                outlook: outlook.isEmpty ? nil : outlook,
                plan: PlanText.shown(found.plan, .overview, style: .plain),
                digest: String(found.plan.digest.prefix(12)),
                commit: String(found.commit.prefix(12)),
                action: "\(Self.path(name))/\(isBack ? "revert" : "deploy")/begin",
                id: found.id,
                isProtected: found.isProtected,
                danger: isBack || found.isProtected ? "danger" : "",
                button: verb == .deploy
                    ? "Deploy it" : verb == .revert ? "Take it back" : "Take it up"
            )
        )
    }

    private func request(_ verb: Verb, _ environment: String, _ call: Call) throws -> ServedRequest
    {
        let form = call.form
        switch verb {
        case .deploy:
            var request = DeployRequest(
                to: HostSelection(environment, limit: form["limit"]),
                choice: RolloutChoice(release: form["release"].map(Self.release))
            )
            request.terms.exception.override = form["override"]
            request.terms.exception.hotfix = form["hotfix"]
            return .deploy(request)
        case .revert:
            let target: RevertRequest.Target =
                if let tag = form["to"] { .tag(tag) } else {
                    form["rollout"].map { .rollout($0) } ?? .newest
                }
            var request = RevertRequest(HostSelection(environment), to: target)
            request.terms.exception.revert = form["reason"]
            return .revert(request)
        case .resume:
            guard let rollout = call.rollout,
                let direction = form["direction"].flatMap(ResumeDirection.init)
            else {
                throw Refusal(.badRequest, "on, or back?")
            }
            return .resume(ResumeRequest(rollout, direction))
        }
    }

    /// What a person typed for a release: a commit's id, or a tag.
    static func release(_ text: String) -> ReleaseSelection {
        GitName.isCommit(text) ? .commit(text) : .tag(text)
    }

    private func begin(_ call: Call, _ verb: Verb) async throws -> Reply {
        let form = call.form
        let name = call.environment ?? ""
        let version = await engine.keeper.version
        if engine.isProtected(name, in: version), form["name"] != name {
            throw Refusal(
                .unprocessableContent,
                "the name that was typed is not `\(Sanitizer.line(name))`",
                hints: ["nothing was changed"]
            )
        }
        let running = try await engine.begin(
            form["preview"] ?? "",
            by: call.person,
            in: name,
            with: verb == .deploy ? .deploy : .revert
        )
        return .see("/rollouts/\(running.id)")
    }

    private func approve(_ call: Call, withdraws: Bool) async throws -> Reply {
        let form = call.form
        guard let name = call.environment, let release = form["release"] else {
            throw Refusal(.badRequest, "which release?")
        }
        guard let note = form["note"] else {
            throw Refusal(.badRequest, "an approval needs a note")
        }
        var request = ApprovalRequest(release, for: HostSelection(name), note: note)
        request.isWithdrawal = withdraws
        _ = try await engine.approve(request, by: call.person)
        await dispatcher.hurry()
        return .see("\(Self.path(name))?done=\(withdraws ? "withdrawn" : "approved")")
    }

    private func drop(_ call: Call) async throws -> Reply {
        guard let number = call.parameters["wish"].flatMap({ Int($0) }),
            let wish = try await engine.store.wish(number)
        else { throw Refusal(.notFound, "there is no such wish") }
        try await rights.require(.deploy, call, in: wish.environment)
        let state = Wish.State.dropped(reason: "dropped by \(call.person.name)")
        guard wish.state.isWaiting, try await engine.store.move(wish, to: state) else {
            throw Refusal(.conflict, "it does not wait any more: \(wish.state.word)")
        }
        try await engine.store.note(
            "dropped \(wish.label) for \(wish.environment)",
            by: call.person.name,
            from: call.address,
            at: call.now
        )
        return .see("\(Self.path(wish.environment))?done=dropped")
    }
}
