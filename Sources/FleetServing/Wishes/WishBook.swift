internal import FleetPlan

/// Decides which wishes there are and which one is next; it knows no clock, no store and no hosts.
public struct WishBook: Sendable {
    /// What becomes of a ref that was looked at.
    public enum Verdict: Sendable, Hashable {
        /// It is wanted, in place of the wishes with these numbers.
        case wanted(instead: [Int])
        /// It is not, for a reason in words.
        case known(String)
    }

    /// The wishes of one environment, the oldest first; those that are over may be left out if they are older than all
    /// tags that could still arrive.
    public let wishes: [Wish]

    /// Looks at an environment's wishes.
    public init(_ wishes: [Wish]) { self.wishes = wishes }

    /// Decides about a wish that would be added.
    ///
    /// - The same commit under the same name was wanted last, or at any time if it is a tag: nothing is done twice,
    ///   however often a delivery arrives. A tag that was moved names another commit, and is wanted anew.
    /// - A version below one that the same hook wanted, and that ran or may run, is not deployed over it, in whatever order
    ///   deliveries arrive.
    /// - A branch does not take the place of a release on its way through several environments.
    /// - What awaits CI takes the place of nothing that need not wait for CI: its own result may never come.
    /// - Otherwise it takes the place of everything that still waits.
    ///
    /// - Parameter wish: The wish.
    /// - Returns: The decision.
    public func verdict(on wish: Wish) -> Verdict {
        let alike = wishes.filter { $0.hook == wish.hook && $0.ref == wish.ref }
        let known = wish.tag != nil ? alike.last { $0.commit == wish.commit } : alike.last
        if let known, known.commit == wish.commit {
            return .known("\(wish.label) was wanted before: \(known.state.word)")
        }
        if let version = wish.tag.flatMap(SemanticVersion.init) {
            let higher = wishes.filter { other in
                guard other.hook == wish.hook, other.mayHaveRun,
                    let theirs = other.tag.flatMap(SemanticVersion.init)
                else { return false }
                return version < theirs
            }.last
            if let higher {
                return .known(
                    "\(wish.label) is older than \(higher.label), which was wanted already"
                )
            }
        }
        let waiting = wishes.filter(\.state.isWaiting)
        if wish.tag == nil,
            let release = waiting.last(where: { $0.commit == wish.commit && $0.isOnItsWay })
        {
            return .known("the same commit is wanted already, as \(release.label)")
        }
        return .wanted(
            instead: waiting.filter { other in
                if wish.tag == nil, other.isOnItsWay { return false }
                return wish.state != .awaitingCI || other.state == .awaitingCI
            }.map(\.id)
        )
    }

    /// The wish that may be prepared next; nil if none may, or one is under way.
    ///
    /// A release on its way through several environments comes before what goes nowhere else; otherwise the newest does.
    ///
    /// - Parameters:
    ///   - passed: The names by which commits have passed CI.
    ///   - resting: Wishes that were tried a short while ago; others are tried meanwhile.
    /// - Returns: The wish.
    public func next(passed: [String: Set<String>], resting: Set<Int> = []) -> Wish? {
        guard !wishes.contains(where: { !$0.state.isOver && !$0.state.isWaiting }) else {
            return nil
        }
        let ready = wishes.filter {
            $0.state.isWaiting && Self.isPassed($0, passed) && !resting.contains($0.id)
        }
        return ready.last(where: \.isOnItsWay) ?? ready.last
    }

    /// The wishes whose place one takes when it begins: older ones, which would put something older over it afterwards.
    ///
    /// - Parameter wish: The wish that begins.
    /// - Returns: The numbers of the others.
    public func overtaken(by wish: Wish) -> [Int] {
        wishes.filter { other in
            other.state.isWaiting && other.id < wish.id && (wish.tag != nil || !other.isOnItsWay)
        }.map(\.id)
    }

    /// Whether CI has passed what a wish is about, if it has to.
    public static func isPassed(_ wish: Wish, _ passed: [String: Set<String>]) -> Bool {
        guard let gate = wish.gate else { return true }
        return passed[wish.commit]?.contains(where: gate.accepts) ?? false
    }

    /// The wish that follows from one whose rollout succeeded; nil if nothing does.
    ///
    /// - Parameters:
    ///   - wish: The wish that is done.
    ///   - unixMilliseconds: When, in milliseconds since 1970.
    /// - Returns: The wish.
    public static func following(_ wish: Wish, at unixMilliseconds: Int) -> Wish? {
        guard let next = wish.later.first else { return nil }
        return Wish(
            environment: next,
            later: Array(wish.later.dropFirst()),
            hook: wish.hook,
            ref: wish.ref,
            commit: wish.commit,
            person: wish.person,
            delivery: wish.delivery,
            unixMilliseconds: unixMilliseconds
        )
    }

    /// The wishes that a hook's rules make of a ref.
    ///
    /// - Parameters:
    ///   - hook: The hook.
    ///   - ref: The ref.
    ///   - commit: The commit that it points at now.
    ///   - person: Whoever caused it.
    ///   - delivery: The delivery that told of it; nil if it was found by looking.
    ///   - unixMilliseconds: When, in milliseconds since 1970.
    /// - Returns: The wishes, one for each rule that watches the ref.
    public static func wishes(
        of hook: Hook,
        ref: String,
        commit: String,
        person: HookFacts.Person,
        delivery: Int?,
        at unixMilliseconds: Int
    ) -> [Wish] {
        var made: [Wish] = []
        for rule in hook.rules where rule.wants(ref) {
            guard let first = rule.environments.first else { continue }
            var later = Array(rule.environments.dropFirst())
            var gate = rule.afterCI
            // Two rules that begin in the same environment are one: the longer way, and no less CI.
            if let place = made.firstIndex(where: { $0.environment == first }) {
                let other = made.remove(at: place)
                if other.later.count > later.count { later = other.later }
                gate = gate ?? other.gate
            }
            made.append(
                Wish(
                    environment: first,
                    later: later,
                    hook: hook.name,
                    ref: ref,
                    commit: commit,
                    person: person,
                    delivery: delivery,
                    unixMilliseconds: unixMilliseconds,
                    gate: gate,
                    state: gate == nil ? .queued : .awaitingCI
                )
            )
        }
        return made
    }
}
