internal import FleetJournal
internal import FleetOperations
internal import FleetProject
internal import FleetReport
internal import FleetRollout
internal import FleetServing
internal import HTTPTypes

/// `/api/v1`: what the pages do, for programs.
///
/// Answers have the forms of `fleet -o json` (docs/json.md) and those of openapi.yaml, which a test compares with these
/// routes.
struct APIRoutes: Sendable {
    let pages: Pages
    let rights: RightsCheck
    let dispatcher: Dispatcher
    let counters: Counters
    private var engine: ServerEngine { pages.engine }
    private var records: Records { engine.controller.records }

    /// The longest body, in bytes.
    private static let bodyLimit = 1 << 20

    var routes: [Route] {
        [
            get("/account", .account) { .json(APIAccount($0)) },
            reading("/environments", .server(.view), environments),
            reading("/environments/{environment}", .environment(.view), environment),
            reading("/environments/{environment}/status", .environment(.view), status),
            reading("/environments/{environment}/health", .environment(.view), health),
            reading("/environments/{environment}/approvals", .environment(.view), approvals),
            reading("/environments/{environment}/wishes", .environment(.view), wishes),
            posting("/environments/{environment}/deploys/preview", .environment(.deploy)) {
                call,
                body in
                try await preview(try body.deploy(to: call.environment ?? ""), call)
            },
            posting("/environments/{environment}/runs/preview", .environment(.deploy)) {
                call,
                body in
                try await preview(try body.run(on: call.environment ?? ""), call)
            },
            posting("/environments/{environment}/reverts/preview", .environment(.revert)) {
                call,
                body in
                try await preview(try body.revert(on: call.environment ?? ""), call)
            },
            posting("/environments/{environment}/deploys", .environment(.deploy)) { call, body in
                try await begin(call, body, .deploy)
            },
            posting("/environments/{environment}/reverts", .environment(.revert)) { call, body in
                try await begin(call, body, .revert)
            },
            posting("/environments/{environment}/approvals", .environment(.approve)) { call, body in
                try await approve(call, body, withdraws: false)
            },
            posting("/environments/{environment}/withdrawals", .environment(.approve)) {
                call,
                body in
                try await approve(call, body, withdraws: true)
            },
            reading("/rollouts", .server(.view), history),
            reading("/rollouts/{rollout}", .rollout(.view), rollout),
            reading("/rollouts/{rollout}/events", .rollout(.view), events),
            posting("/rollouts/{rollout}/stop", .rollout(.stop), stop),
            posting("/rollouts/{rollout}/resumptions/preview", .rollout(.revert)) { call, body in
                guard let id = call.rollout,
                    let direction = ResumeDirection(rawValue: body.direction ?? "onward")
                else { throw Refusal(.badRequest, "`direction` is onward or back") }
                return try await preview(
                    .resume(ResumeRequest(id, direction, terms: body.terms())),
                    call
                )
            },
            reading("/releases", .server(.view), releases),
            reading("/audit", .server(.view), audit),
            reading("/deliveries", .server(.view), deliveries),
            posting("/deliveries/{delivery}/again", .server(.deploy), again),
            posting("/wishes/{wish}/drop", .named(.deploy), drop),
        ]
    }

    private func reading(
        _ path: String,
        _ need: Need,
        _ handle: @escaping @Sendable (Call) async throws -> Reply
    )
        -> Route
    {
        Route(.get, "/api/v1" + path, need, .api, handle: handle)
    }

    private func get(_ path: String, _ need: Need, _ handle: @escaping @Sendable (Caller) -> Reply)
        -> Route
    {
        reading(path, need) { call in
            guard let caller = call.caller else { throw Refusal(.unauthorized, "show a token") }
            return handle(caller)
        }
    }

    private func posting(
        _ path: String,
        _ need: Need,
        _ handle: @escaping @Sendable (Call, APIRequest) async throws -> Reply
    ) -> Route {
        Route(.post, "/api/v1" + path, need, .api, bodyLimit: Self.bodyLimit) { call in
            try await handle(call, try APIRequest.read(call))
        }
    }

    private func limit(_ call: Call, _ usual: Int) throws -> Int {
        guard let text = call.query["limit"] else { return usual }
        guard let limit = Int(text), (1...1_000).contains(limit) else {
            throw Refusal(.badRequest, "`limit` is a number from 1 to 1000")
        }
        return limit
    }

    // MARK: Looking

    private func visible(_ call: Call) async throws -> [String] {
        try await engine.environments().filter { call.may(.view, in: $0, isProtected: true) }
    }

    private func environments(_ call: Call) async throws -> Reply {
        var found: [APIEnvironment] = []
        for name in try await visible(call) {
            found.append(APIEnvironment(try await engine.card(of: name)))
        }
        return .lines(found)
    }

    private func environment(_ call: Call) async throws -> Reply {
        guard let name = call.environment, try await engine.environments().contains(name) else {
            throw Refusal(.notFound, "there is no such environment")
        }
        return .json(APIEnvironment(try await engine.card(of: name)))
    }

    private func status(_ call: Call) async throws -> Reply {
        let name = call.environment ?? ""
        let (operations, _) = try await engine.operations(
            for: call.person,
            command: "status \(name)"
        )
        let selection = HostSelection(name, limit: call.query["hosts"])
        return .lines(try await operations.status(of: selection).hosts)
    }

    private func health(_ call: Call) async throws -> Reply {
        let hours = call.query["hours"].flatMap { Int($0) } ?? 24
        guard (1...2_160).contains(hours) else {
            throw Refusal(.badRequest, "`hours` is a number from 1 to 2160")
        }
        return .lines(
            try await engine.health(of: call.environment ?? "", since: call.now - hours * 3_600_000)
        )
    }

    private func approvals(_ call: Call) async throws -> Reply {
        .lines(
            try await engine.approvals(for: call.environment ?? "").prefix(try limit(call, 100)).map
            { APIApproval($0) }
        )
    }

    private func wishes(_ call: Call) async throws -> Reply {
        let limit = try limit(call, 50)
        return .lines(
            try await engine.store.wishes(of: call.environment ?? "").suffix(limit).reversed().map(
                APIWish.init
            )
        )
    }

    private func history(_ call: Call) async throws -> Reply {
        var request = HistoryRequest()
        request.limit = try limit(call, 20)
        request.environment = call.query["environment"]
        request.release = call.query["release"]
        request.host = call.query["host"]
        request.outcome = call.query["outcome"]
        return .lines(
            try await records.history(request).filter {
                call.may(.view, in: $0.environment, isProtected: true)
            }
        )
    }

    private func rollout(_ call: Call) async throws -> Reply {
        guard let id = call.rollout else { throw Refusal(.notFound, "there is no such rollout") }
        return .json(ReportLine(try await records.report(of: id, zone: .utc)))
    }

    private func releases(_ call: Call) async throws -> Reply {
        guard let project = await engine.keeper.version?.project else {
            throw Refusal(.serviceUnavailable, "the project has not been read")
        }
        let visible = Set(try await visible(call))
        let lines = try await records.releases(in: project.root, limit: try limit(call, 50))
        return .lines(
            lines.map { line in
                ReleaseLine(
                    release: line.release,
                    commit: line.commit,
                    live: line.live.filter(visible.contains),
                    quarantined: line.quarantined.filter(visible.contains),
                    superseded: line.superseded.filter(visible.contains),
                    date: line.date
                )
            }
        )
    }

    private func audit(_ call: Call) async throws -> Reply {
        let lines = try await records.audit(
            of: call.query["environment"],
            limit: try limit(call, 100)
        )
        return .lines(lines.filter { call.may(.view, in: $0.environment, isProtected: true) })
    }

    private func deliveries(_ call: Call) async throws -> Reply {
        let before = call.query["before"].flatMap { Int($0) }
        return .lines(
            try await engine.store.deliveries(
                limit: try limit(call, 50),
                before: before,
                of: call.query["hook"]
            ).filter { rights.maySee($0, call) }.map(APIDelivery.init)
        )
    }

    /// The events of a rollout, a line of JSON each; with `follow`, until its end.
    private func events(_ call: Call) async throws -> Reply {
        guard let id = call.rollout else { throw Refusal(.notFound, "there is no such rollout") }
        let after = call.query["after"].flatMap { Int($0) } ?? 0
        let waits = call.query["follow"] == "true"
        try counters.requireRoomForStream()
        let followed = try await engine.controller.followed(id.description)
        return Reply(
            status: .ok,
            headers: [.contentType: "application/jsonl"],
            body: .stream { sink in
                counters.streamBegan()
                defer { counters.streamEnded() }
                await EventStream(
                    followed: followed,
                    after: after,
                    waits: waits,
                    mayRead: { await rights.mayStillWatch(call, pages.sessions) }
                ).run(to: sink)
            }
        )
        // nginx would keep the answer until it is complete.
        .with(.accelBuffering, "no")
    }

    // MARK: Doing

    private func preview(_ request: ServedRequest, _ call: Call) async throws -> Reply {
        try await rights.require(request, call, in: call.environment ?? "")
        return .json(APIPreview(try await engine.preview(request, for: call.person)))
    }

    private func begin(_ call: Call, _ body: APIRequest, _ right: Right) async throws -> Reply {
        let name = call.environment ?? ""
        guard let preview = body.preview else {
            throw Refusal(
                .badRequest,
                "which `preview`? Ask for one first; what it shows is what is begun"
            )
        }
        if engine.isProtected(name, in: await engine.keeper.version), body.name != name {
            throw Refusal(
                .unprocessableContent,
                "\(name) is protected: send its name as `name`",
                hints: ["nothing was changed"]
            )
        }
        let running = try await engine.begin(preview, by: call.person, in: name, with: right)
        return .json(
            APIBegun(
                rollout: running.id.description,
                url: "\(engine.file.publicURL)/rollouts/\(running.id)"
            ),
            .created
        )
    }

    private func approve(_ call: Call, _ body: APIRequest, withdraws: Bool) async throws -> Reply {
        guard let release = body.release, let note = body.note, !note.isEmpty else {
            throw Refusal(.badRequest, "an approval needs `release` and `note`")
        }
        var request = ApprovalRequest(
            release,
            for: HostSelection(call.environment ?? "", limit: body.limit),
            note: note
        )
        request.isWithdrawal = withdraws
        if let playbook = body.playbook { request.playbook = try APIRequest.plain(playbook) }
        let recorded = try await engine.approve(request, by: call.person)
        await dispatcher.hurry()
        return .json(APIApproval(recorded.approval, missing: recorded.missing), .created)
    }

    private func stop(_ call: Call, _ body: APIRequest) async throws -> Reply {
        guard let id = call.rollout, let point = StopRequest.Point(rawValue: body.after ?? "batch")
        else {
            throw Refusal(.badRequest, "`after` is batch, step or now")
        }
        try await engine.stop(id, after: point, reason: body.reason, by: call.person)
        return .json(APIDone(done: "rollout \(id) was asked to stop"), .accepted)
    }

    private func again(_ call: Call, _ body: APIRequest) async throws -> Reply {
        guard let number = call.parameters["delivery"].flatMap({ Int($0) }),
            let delivery = try await engine.store.delivery(number)
        else { throw Refusal(.notFound, "there is no such delivery") }
        // What it leads to may be anywhere that its hook's rules name.
        for environment in Set(
            engine.file.hook(named: delivery.arrival.hook)?.rules.flatMap(\.environments) ?? []
        ) {
            try await rights.require(.deploy, call, in: environment)
        }
        guard !delivery.arrival.body.isEmpty else {
            throw Refusal(.gone, "its body is no longer kept")
        }
        try await engine.store.postpone(
            number,
            until: call.now,
            note: "played again by \(call.person.name)"
        )
        engine.bell.ring()
        return .json(APIDone(done: "delivery \(number) is played again"), .accepted)
    }

    private func drop(_ call: Call, _ body: APIRequest) async throws -> Reply {
        guard let number = call.parameters["wish"].flatMap({ Int($0) }),
            let wish = try await engine.store.wish(number)
        else { throw Refusal(.notFound, "there is no such wish") }
        try await rights.require(.deploy, call, in: wish.environment)
        let state = Wish.State.dropped(reason: "dropped by \(call.person.name)")
        guard wish.state.isWaiting, try await engine.store.move(wish, to: state) else {
            throw Refusal(.conflict, "it does not wait any more: \(wish.state.word)")
        }
        return .json(APIDone(done: "\(wish.label) is not wanted in \(wish.environment) any more"))
    }
}

/// The events of one rollout for one reader, at the reader's speed.
private struct EventStream: Sendable {
    let followed: FollowedRollout
    let after: Int
    let waits: Bool
    /// Whether the reader still may.
    let mayRead: @Sendable () async -> Bool

    /// How often it is looked whether there is still a reader, and whether they may, in milliseconds.
    private static let silenceMilliseconds = 15_000

    /// Sends them; ends when the rollout does, the reader goes away, or they may not read any more.
    func run(to sink: any ReplySink) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await send(to: sink) }
            group.addTask {
                while !Task.isCancelled {
                    // Cancelled when there is nothing more to send.
                    try? await Task.sleep(for: .milliseconds(Self.silenceMilliseconds))
                    guard !Task.isCancelled, await mayRead() else { return }
                    // An empty line is nothing to whoever reads, and finds out whether somebody does.
                    do { try await sink.send([0x0A]) } catch { return }
                }
            }
            _ = await group.next()
            group.cancelAll()
        }
    }

    private func send(to sink: any ReplySink) async {
        var lines = EventLines(plan: followed.plan)
        do throws(OperationFailure) {
            // From the first one, because what an event means depends on those before it.
            _ = try await followed.follow(waits: waits) { entries in
                var bytes: [UInt8] = []
                for entry in entries {
                    for line in lines.lines(for: entry) where entry.sequence > after {
                        bytes += JSONLine.bytes(of: line)
                    }
                }
                guard !bytes.isEmpty else { return }
                // A reader that has gone, or does not read, is given up.
                do { try await sink.send(bytes) } catch { withUnsafeCurrentTask { $0?.cancel() } }
            }
        } catch {
            // Whoever reads the lines sees why there are no more, if somebody still reads.
            try? await sink.send(JSONLine.bytes(of: APIFailure(Refusal(error))))
        }
    }
}
