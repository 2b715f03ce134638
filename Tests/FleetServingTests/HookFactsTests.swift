import FleetServing
import FleetTransport
import Testing

/// Bodies as the providers document them, cut to the fields that there are many of.
struct HookFactsTests {
    static func hook(
        _ provider: Hook.Provider,
        project: String? = "acme/app",
        rules: [Hook.Rule] = []
    ) -> Hook {
        Hook(
            name: "app",
            provider: provider,
            secrets: [.source(.environment("S"))],
            acceptsToken: false,
            repository: "/srv/app.git",
            project: project,
            rules: rules,
            pollMilliseconds: 1_000
        )
    }

    private func read(_ body: String, _ event: String?, _ provider: Hook.Provider) throws
        -> HookFacts
    {
        try HookFacts.read(Array(body.utf8), event: event, of: Self.hook(provider))
    }

    private let commit = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"

    @Test("GitHub's events")
    func github() throws {
        let repository =
            #""repository":{"id":1,"full_name":"Acme/App","clone_url":"https://evil.example/x.git"}"#
        let person = HookFacts.Person(login: "octocat", address: "o@example.org")
        let push =
            #"{"ref":"refs/heads/main","before":"0","after":"\#(commit)","created":false,"deleted":false,"#
            + #""forced":true,"pusher":{"name":"octocat","email":"o@example.org"},"sender":{"login":"octocat"},"#
            + repository + "}"
        #expect(try read(push, "push", .github) == .moved(ref: "refs/heads/main", by: person))
        let zeros = String(repeating: "0", count: 40)
        #expect(
            try read(
                #"{"ref":"refs/heads/x","after":"\#(zeros)","deleted":true,\#(repository)}"#,
                "push",
                .github
            )
                == .deleted(ref: "refs/heads/x")
        )
        #expect(
            try read(#"{"ref":"v1.0.0","ref_type":"tag",\#(repository)}"#, "create", .github)
                == .moved(ref: "refs/tags/v1.0.0", by: HookFacts.Person(login: nil, address: nil))
        )
        #expect(
            try read(#"{"ref":"v1.0.0","ref_type":"tag",\#(repository)}"#, "delete", .github)
                == .deleted(ref: "refs/tags/v1.0.0")
        )
        func release(_ action: String, draft: Bool = false, pre: Bool = false) throws -> HookFacts {
            try read(
                #"{"action":"\#(action)","release":{"tag_name":"v1.1.0","draft":\#(draft),"prerelease":\#(pre)},\#(repository)}"#,
                "release",
                .github
            )
        }
        #expect(
            try release("published")
                == .moved(ref: "refs/tags/v1.1.0", by: HookFacts.Person(login: nil, address: nil))
        )
        for facts in [
            try release("edited"), try release("published", draft: true),
            try release("published", pre: true),
        ] {
            guard case .unasked = facts else { return #expect(Bool(false), "\(facts)") }
        }
        func run(_ conclusion: String) throws -> HookFacts {
            try read(
                #"{"action":"completed","workflow_run":{"name":"build","conclusion":"\#(conclusion)","head_sha":"\#(commit)"},\#(repository)}"#,
                "workflow_run",
                .github
            )
        }
        #expect(try run("success") == .passed(commit: commit, name: "build"))
        guard case .unasked = try run("failure") else { return #expect(Bool(false)) }
        #expect(
            try read(
                #"{"state":"success","sha":"\#(commit)","context":"ci/x",\#(repository)}"#,
                "status",
                .github
            )
                == .passed(commit: commit, name: "ci/x")
        )
        #expect(
            try read(#"{"zen":"Design for failure.","hook_id":1}"#, "ping", .github) == .greeting
        )
        guard case .unasked = try read("{\(repository)}", "star", .github) else {
            return #expect(Bool(false))
        }
    }

    @Test("GitLab's events")
    func gitlab() throws {
        let project = #""project":{"id":15,"path_with_namespace":"acme/app"}"#
        let person = HookFacts.Person(login: "jsmith", address: "j@example.com")
        let people = #""user_username":"jsmith","user_email":"j@example.com""#
        #expect(
            try read(
                #"{"object_kind":"push","ref":"refs/heads/main","after":"\#(commit)","checkout_sha":"\#(commit)",\#(people),\#(project)}"#,
                "Push Hook",
                .gitlab
            ) == .moved(ref: "refs/heads/main", by: person)
        )
        let zeros = String(repeating: "0", count: 40)
        #expect(
            try read(
                #"{"object_kind":"tag_push","ref":"refs/tags/v1","after":"\#(zeros)","checkout_sha":null,\#(project)}"#,
                "Tag Push Hook",
                .gitlab
            ) == .deleted(ref: "refs/tags/v1")
        )
        #expect(
            try read(
                #"{"object_kind":"pipeline","object_attributes":{"id":31,"name":"main","status":"success","sha":"\#(commit)"},\#(project)}"#,
                nil,
                .gitlab
            ) == .passed(commit: commit, name: "main")
        )
        #expect(
            try read(
                #"{"object_kind":"release","action":"create","tag":"v1.1",\#(project)}"#,
                nil,
                .gitlab
            )
                == .moved(ref: "refs/tags/v1.1", by: HookFacts.Person(login: nil, address: nil))
        )
    }

    @Test("Gitea's, Forgejo's and anybody's events")
    func others() throws {
        let body =
            #"{"ref":"refs/heads/develop","after":"\#(commit)","pusher":{"login":"gitea","email":"g@x.org"},"#
            + #""sender":{"login":"gitea"},"repository":{"full_name":"acme/app"}}"#
        for provider in [Hook.Provider.gitea, .forgejo] {
            #expect(
                try read(body, "push", provider)
                    == .moved(
                        ref: "refs/heads/develop",
                        by: HookFacts.Person(login: "gitea", address: "g@x.org")
                    )
            )
        }
        #expect(
            try read(
                #"{"type":"push","data":{"ref":"refs/heads/main","repository":"acme/app","pusher":"ada"}}"#,
                nil,
                .standard
            ) == .moved(ref: "refs/heads/main", by: HookFacts.Person(login: "ada", address: nil))
        )
        #expect(
            try read(
                #"{"type":"ci.passed","data":{"commit":"\#(commit)","name":"tests","repository":"acme/app"}}"#,
                nil,
                .standard
            ) == .passed(commit: commit, name: "tests")
        )
    }

    @Test(
        "What is no delivery of this repository is refused in words, and nothing traps",
        arguments: [
            "", "[]", "nonsense", "{}", #"{"ref":1,"repository":{"full_name":"acme/app"}}"#,
            #"{"ref":"refs/heads/main","repository":{"full_name":"acme/other"}}"#,
            #"{"ref":"refs/heads/main","repository":"acme/app"}"#,
            #"{"ref":"-oProxyCommand=x","repository":{"full_name":"acme/app"}}"#,
            #"{"ref":"refs/heads/../../etc","repository":{"full_name":"acme/app"}}"#,
            #"{"ref":"refs/tags/a b","repository":{"full_name":"acme/app"}}"#,
            #"{"ref":"refs/notes/x","repository":{"full_name":"acme/app"}}"#,
            #"{"ref":"refs/heads/x\u0000","repository":{"full_name":"acme/app"}}"#,
            String(repeating: "[", count: 10_000) + String(repeating: "]", count: 10_000),
            String(repeating: #"{"a":"#, count: 10_000),
        ]
    )
    func nonsense(body: String) {
        for provider in Hook.Provider.allCases where provider != .gitlab && provider != .standard {
            #expect(throws: HookFacts.Invalid.self) { try read(body, "push", provider) }
        }
        // A body without a word is for nobody, or for nobody here.
        for provider in [Hook.Provider.gitlab, .standard] {
            #expect(throws: HookFacts.Invalid.self) { try read(body, "push", provider) }
        }
    }
}

struct WishBookTests {
    private func wish(
        _ id: Int,
        _ ref: String,
        _ commit: String = "a",
        state: Wish.State = .queued,
        hook: String = "app"
    ) -> Wish {
        Wish(
            id: id,
            environment: "staging",
            later: ["production"],
            hook: hook,
            ref: ref,
            commit: commit,
            person: HookFacts.Person(login: "ada", address: nil),
            delivery: nil,
            unixMilliseconds: id,
            state: state
        )
    }

    private let main = "refs/heads/main"
    private func done(_ outcome: String = "succeeded") -> Wish.State {
        .done(rollout: "r", outcome: outcome)
    }

    /// Row S5.
    @Test("The newest takes the place of what waits, and of nothing else")
    func newest() {
        let book = WishBook([
            wish(1, main, "a", state: done()), wish(2, main, "b", state: .running(rollout: "r")),
            wish(3, main, "c", state: .held(reasons: ["x"])), wish(4, main, "d"),
        ])
        #expect(book.verdict(on: wish(0, main, "e")) == .wanted(instead: [3, 4]))
        // One is under way: nothing is next.
        #expect(book.next(passed: [:]) == nil)
        #expect(
            WishBook([wish(1, main, "a", state: done()), wish(2, main, "b")]).next(passed: [:])?.id
                == 2
        )
        let starting = WishBook([
            wish(1, main, "a", state: .starting(digest: "x", at: 0)), wish(2, main, "b"),
        ])
        #expect(starting.next(passed: [:]) == nil)
    }

    /// Row S2.
    @Test("A delivery that arrives again leads to nothing, however the first one ended")
    func again() {
        for state in [
            done(), done("reverted"), .refused(reason: "x"), .queued, .running(rollout: "r"),
        ] {
            let book = WishBook([wish(1, main, "a", state: state)])
            guard case .known = book.verdict(on: wish(0, main, "a")) else {
                return #expect(Bool(false), "\(state)")
            }
        }
        // A branch that went back is somewhere else than before.
        let moved = WishBook([wish(1, main, "a", state: done()), wish(2, main, "b", state: done())])
        #expect(moved.verdict(on: wish(0, main, "a")) == .wanted(instead: []))
    }

    /// Rows S4, S9.
    @Test("An older version is not deployed over a newer one, and a moved tag is another release")
    func versions() {
        let book = WishBook([
            wish(1, "refs/tags/v1.2.0", "a", state: done()),
            wish(2, "refs/tags/v1.10.0", "b", state: done("reverted")),
        ])
        for ref in ["refs/tags/v1.9.0", "refs/tags/v1.2.0", "refs/tags/v1.10.0-rc.1"] {
            guard case .known = book.verdict(on: wish(0, ref, "a")) else {
                return #expect(Bool(false), "\(ref)")
            }
        }
        #expect(book.verdict(on: wish(0, "refs/tags/v1.10.1", "c")) == .wanted(instead: []))
        #expect(book.verdict(on: wish(0, "refs/tags/v1.10.0", "moved")) == .wanted(instead: []))
        #expect(book.verdict(on: wish(0, "refs/tags/nightly", "c")) == .wanted(instead: []))
        // Another application's versions are others.
        #expect(
            book.verdict(on: wish(0, "refs/tags/v0.1.0", "c", hook: "other"))
                == .wanted(instead: [])
        )
        // What a person has dropped is no newer release.
        let dropped = WishBook([
            wish(1, "refs/tags/v2.0.0", "a", state: .dropped(reason: "dropped by ada"))
        ])
        #expect(dropped.verdict(on: wish(0, "refs/tags/v1.0.0", "b")) == .wanted(instead: []))
    }

    private func release(_ id: Int, _ ref: String, _ commit: String, state: Wish.State = .queued)
        -> Wish
    {
        wish(id, "refs/tags/" + ref, commit, state: state)
    }

    @Test(
        "A release on its way through several environments is not lost to a branch, in either order"
    )
    func onItsWay() {
        // The tag's delivery came first: the branch's adds nothing for the same commit, and waits behind it for another.
        let tagFirst = WishBook([release(1, "v1.0.0", "a")])
        guard case .known = tagFirst.verdict(on: wish(0, main, "a")) else {
            return #expect(Bool(false))
        }
        #expect(tagFirst.verdict(on: wish(0, main, "b")) == .wanted(instead: []))
        let both = WishBook([release(1, "v1.0.0", "a"), wish(2, main, "b")])
        #expect(both.next(passed: [:])?.id == 1 && both.overtaken(by: wish(2, main, "b")).isEmpty)
        // While it rests, because something stands in its way, the other one is tried.
        #expect(both.next(passed: [:], resting: [1])?.id == 2)
        #expect(both.next(passed: [:], resting: [1, 2]) == nil)
        // A newer tag does take its place.
        #expect(both.verdict(on: release(0, "v1.1.0", "c")) == .wanted(instead: [1, 2]))
    }

    @Test("A late delivery of a branch changes nothing, whatever was deployed since")
    func late() {
        let book = WishBook([
            wish(1, main, "a", state: done()), release(2, "v1.0.0", "b", state: done()),
        ])
        guard case .known = book.verdict(on: wish(0, main, "a")) else {
            return #expect(Bool(false))
        }
    }

    @Test("A version that never ran stands in nobody's way")
    func neverRan() {
        for state: Wish.State in [.refused(reason: "x"), .dropped(reason: "x"), done("refused")] {
            let book = WishBook([release(1, "v20.0.0", "a", state: state)])
            #expect(book.verdict(on: release(0, "v2.0.1", "b")) == .wanted(instead: []), "\(state)")
        }
    }

    @Test("What awaits CI takes nothing's place until it begins, and then that of everything older")
    func awaiting() {
        let gated = Wish(
            id: 3,
            environment: "staging",
            later: [],
            hook: "app",
            ref: main,
            commit: "c",
            person: HookFacts.Person(login: nil, address: nil),
            delivery: nil,
            unixMilliseconds: 3,
            gate: .any,
            state: .awaitingCI
        )
        let held = wish(1, main, "a", state: .held(reasons: []))
        let book = WishBook([held, wish(2, main, "b", state: .awaitingCI)])
        #expect(book.verdict(on: gated) == .wanted(instead: [2]))
        let waiting = WishBook([held, gated])
        #expect(waiting.next(passed: [:])?.id == 1)
        #expect(waiting.next(passed: ["c": ["x"]])?.id == 3)
        #expect(waiting.overtaken(by: gated) == [1])
    }

    @Test("Two rules that begin in one environment make one wish: the longer way, and no less CI")
    func merged() {
        let hook = HookFactsTests.hook(
            .github,
            rules: [
                Hook.Rule(watched: .tags("v*"), environments: ["staging"], afterCI: .any),
                Hook.Rule(watched: .tags("v*.0"), environments: ["staging", "production"]),
            ]
        )
        let made = WishBook.wishes(
            of: hook,
            ref: "refs/tags/v2.0",
            commit: "a",
            person: HookFacts.Person(login: nil, address: nil),
            delivery: nil,
            at: 1
        )
        #expect(made.map(\.later) == [["production"]] && made.map(\.state) == [.awaitingCI])
    }

    @Test(
        "What waits for CI is next only when CI has passed that commit, by the name that is asked for"
    )
    func gate() {
        func gated(_ gate: Hook.CIGate) -> WishBook {
            WishBook([
                Wish(
                    id: 1,
                    environment: "staging",
                    later: [],
                    hook: "app",
                    ref: main,
                    commit: "a",
                    person: HookFacts.Person(login: nil, address: nil),
                    delivery: nil,
                    unixMilliseconds: 0,
                    gate: gate,
                    state: .awaitingCI
                )
            ])
        }
        #expect(
            gated(.any).next(passed: [:]) == nil && gated(.any).next(passed: ["b": ["x"]]) == nil
        )
        #expect(gated(.any).next(passed: ["a": ["x"]])?.id == 1)
        #expect(gated(.named("build")).next(passed: ["a": ["lint"]]) == nil)
        #expect(gated(.named("build")).next(passed: ["a": ["lint", "build"]])?.id == 1)
    }

    @Test("What succeeded goes on to the environment after it, once, without waiting for CI again")
    func following() throws {
        let next = try #require(WishBook.following(wish(1, main, "a", state: done()), at: 9))
        #expect(next.environment == "production" && next.later.isEmpty && next.state == .queued)
        #expect(next.commit == "a" && next.ref == main && next.unixMilliseconds == 9)
        #expect(WishBook.following(next, at: 9) == nil)
    }

    @Test("A rule makes wishes for its first environment")
    func rules() {
        let hook = HookFactsTests.hook(
            .github,
            rules: [
                Hook.Rule(watched: .branch("main"), environments: ["staging"]),
                Hook.Rule(
                    watched: .branch("main"),
                    environments: ["qa", "production"],
                    afterCI: .any
                ),
                Hook.Rule(watched: .tags("v*"), environments: ["production"]),
            ]
        )
        let made = WishBook.wishes(
            of: hook,
            ref: main,
            commit: "a",
            person: HookFacts.Person(login: nil, address: nil),
            delivery: 7,
            at: 1
        )
        #expect(
            made.map(\.environment) == ["staging", "qa"]
                && made.map(\.later) == [[], ["production"]]
        )
        #expect(
            made.map(\.state) == [.queued, .awaitingCI] && made.allSatisfy { $0.delivery == 7 }
        )
    }
}
