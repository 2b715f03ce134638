public import FleetJournal
internal import FleetProject
internal import FleetReport
internal import FleetRunner
public import FleetServing

extension Dispatcher {
    /// How long is waited before a repository is asked again that could not be, in milliseconds: doubled each time.
    private static let firstPatience = 5_000
    private static let lastPatience = 600_000

    /// Acts upon a delivery that is stored.
    ///
    /// - Parameters:
    ///   - delivery: The delivery.
    ///   - now: The time, in milliseconds since 1970.
    ///   - silent: Hooks whose repositories have just not answered; they are not asked again at once.
    /// - Throws: `JournalError` if the store cannot be used.
    func act(on delivery: Delivery, at now: Int, _ silent: inout Set<String>)
        async throws(JournalError)
    {
        let store = engine.store
        guard let hook = engine.file.hook(named: delivery.arrival.hook) else {
            return try await store.settle(
                delivery.number,
                .invalid,
                note: "the server file has no hook of this name any more"
            )
        }
        guard !delivery.arrival.body.isEmpty else {
            return try await store.settle(
                delivery.number,
                .invalid,
                note: "its body is no longer kept"
            )
        }
        let facts: HookFacts
        do throws(HookFacts.Invalid) {
            facts = try HookFacts.read(
                delivery.arrival.body,
                event: delivery.arrival.event,
                of: hook
            )
        } catch {
            return try await store.settle(delivery.number, .invalid, note: error.reason)
        }
        switch facts {
        case .greeting: try await store.settle(delivery.number, .acted, note: "somebody listens")
        case .unasked(let what): try await store.settle(delivery.number, .unasked, note: what)
        case .deleted(let ref):
            try await store.settle(
                delivery.number,
                .unasked,
                note: "\(ref) was deleted: nothing is deployed"
            )
        case .passed(let commit, let name):
            try await store.pass(commit, name: name, of: hook.name, at: now)
            try await store.settle(
                delivery.number,
                .acted,
                note: "`\(name)` has passed \(commit.prefix(12))"
            )
        case .moved(let ref, let person):
            guard hook.rules.contains(where: { $0.wants(ref) }) else {
                return try await store.settle(
                    delivery.number,
                    .unasked,
                    note: "no rule watches \(ref)"
                )
            }
            try await act(on: delivery, hook, ref, person, at: now, &silent)
        }
    }

    private func act(
        on delivery: Delivery,
        _ hook: Hook,
        _ ref: String,
        _ person: HookFacts.Person,
        at now: Int,
        _ silent: inout Set<String>
    ) async throws(JournalError) {
        let refs: [String: String]
        do throws(GitRepository.Failure) {
            guard !silent.contains(hook.name) else {
                throw GitRepository.Failure(command: "git ls-remote", message: "it does not answer")
            }
            refs = try await remote(hook).refs([ref, ref + "^{}"])
        } catch {
            silent.insert(hook.name)
            let patience = min(Self.firstPatience << min(delivery.tries, 10), Self.lastPatience)
            return try await engine.store.postpone(
                delivery.number,
                until: now + patience,
                note: "the repository cannot be asked: \(Sanitizer.line(error.message))"
            )
        }
        guard let commit = refs[ref] else {
            return try await engine.store.settle(
                delivery.number,
                .unasked,
                note: "\(ref) is not there any more: nothing is deployed"
            )
        }
        var notes: [String] = []
        for wish in WishBook.wishes(
            of: hook,
            ref: ref,
            commit: commit,
            person: person,
            delivery: delivery.number,
            at: now
        ) {
            notes.append(try await add(wish, seen: true))
        }
        try await engine.store.settle(delivery.number, .acted, note: notes.joined(separator: "; "))
    }

    private func add(_ wish: Wish, seen: Bool) async throws(JournalError) -> String {
        switch try await engine.store.add(wish, seen: seen).verdict {
        case .known(let why): return "\(wish.environment): \(why)"
        case .wanted(let instead):
            let dropped = instead.isEmpty ? "" : ", in place of \(instead.count) that still waited"
            return "\(wish.environment): \(wish.label) is wanted\(dropped)"
        }
    }

    private func remote(_ hook: Hook) -> RemoteRepository {
        RemoteRepository(hook.repository, askedIn: engine.stateDirectory)
    }

    /// Looks at a hook's refs although nobody has told of anything: providers send nothing when many refs move at once,
    /// and a delivery can be lost.
    ///
    /// What is there at the first look is not deployed: it was there before the server was.
    ///
    /// - Parameters:
    ///   - hook: The hook.
    ///   - now: The time, in milliseconds since 1970.
    /// - Throws: `JournalError` if the store cannot be used.
    public func look(at hook: Hook, at now: Int) async throws(JournalError) {
        func pattern(_ rule: Hook.Rule) -> String {
            switch rule.watched {
            case .branch(let name): "refs/heads/\(name)"
            case .tags: "refs/tags/*"
            }
        }
        // A rule that is new, or another repository, begins anew.
        func place(_ rule: Hook.Rule) -> String {
            let watched: String =
                switch rule.watched {
                case .branch(let name): "branch \(name)"
                case .tags(let pattern): "tags \(pattern)"
                }
            return "\(hook.name)\n\(hook.repository)\n\(watched)"
        }
        let found: [String: String]
        do throws(GitRepository.Failure) {
            found = try await remote(hook).refs(Set(hook.rules.map(pattern)).sorted())
            problems[hook.name] = nil
        } catch {
            problems[hook.name] = Sanitizer.line(error.message)
            return
        }
        let refs = found.filter { entry in hook.rules.contains { $0.wants(entry.key) } }
        let seen = try await engine.store.seen(of: hook.name)
        let places = Set(hook.rules.map(place))
        let looked = try await engine.store.looked(at: places)
        for (ref, commit) in refs.sorted(by: { $0.key < $1.key }) where seen[ref] != commit {
            let isNew = !hook.rules.contains { $0.wants(ref) && looked.contains(place($0)) }
            guard !isNew else { continue }
            for wish in WishBook.wishes(
                of: hook,
                ref: ref,
                commit: commit,
                person: HookFacts.Person(login: nil, address: nil),
                delivery: nil,
                at: now
            ) {
                let note = try await add(wish, seen: false)
                engine.say(.note("found by looking: \(note)"))
            }
        }
        // Last: whoever is killed before this looks again.
        try await engine.store.look(at: refs, of: hook.name, places: places, at: now)
    }
}
