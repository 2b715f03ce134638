internal import FleetDigest

/// What a delivery tells, whoever's form it has.
///
/// It only says where to look: which commit a ref points at is asked of the repository itself, because deliveries arrive
/// late, twice, in another order or not at all.
public enum HookFacts: Sendable, Hashable {
    /// A ref may point at another commit now.
    case moved(ref: String, by: Person)
    /// A ref is gone.
    case deleted(ref: String)
    /// A commit has passed CI.
    case passed(commit: String, name: String)
    /// The provider tries whether somebody listens.
    case greeting
    /// Something that no rule can want, in words.
    case unasked(String)

    /// Whoever caused a delivery, as the provider and git know them.
    public struct Person: Sendable, Hashable, Codable {
        /// The login at the provider; nil if it is not told.
        public let login: String?
        /// The address; nil if it is not told.
        public let address: String?

        /// Describes a person.
        public init(login: String?, address: String?) {
            self.login = login
            self.address = address
        }

        /// Whether anything is known of them.
        public var isKnown: Bool { login != nil || address != nil }

        /// What they are called in messages.
        public var name: String { login ?? address ?? "somebody" }
    }

    /// Why a body tells nothing.
    public struct Invalid: Error, Sendable, Hashable {
        /// What is wrong, in words.
        public let reason: String
    }

    /// Reads a delivery whose signature was verified.
    ///
    /// - Parameters:
    ///   - body: JSON.
    ///   - event: The provider's word for what happened; nil for a provider that says it in the body.
    ///   - hook: The hook that it came to.
    /// - Returns: What it tells.
    /// - Throws: ``Invalid`` if it is not in the provider's form, or is about another repository.
    public static func read(_ body: [UInt8], event: String?, of hook: Hook) throws(Invalid)
        -> HookFacts
    {
        let read: Body
        do { read = try CanonicalJSON.decode(Body.self, from: body) } catch {
            throw Invalid(reason: "the body is no JSON object")
        }
        let word: String
        switch hook.provider {
        case .github, .gitea, .forgejo: word = event ?? ""
        case .gitlab: word = read.kind ?? ""
        case .standard: word = read.type ?? ""
        }
        if word == "ping" { return .greeting }
        if let wanted = hook.project {
            guard let name = read.project(at: hook.provider) else {
                throw Invalid(reason: "the body does not say which repository it is about")
            }
            guard name.lowercased() == wanted.lowercased() else {
                throw Invalid(reason: "it is about `\(name.prefix(100))`, not `\(wanted)`")
            }
        }
        return switch hook.provider {
        case .github, .gitea, .forgejo: try gitHubLike(read, word)
        case .gitlab: try gitLab(read, word)
        case .standard: try standard(read, word)
        }
    }

    /// https://docs.github.com/en/webhooks/webhook-events-and-payloads; Gitea's and Forgejo's have the same fields.
    private static func gitHubLike(_ body: Body, _ event: String) throws(Invalid) -> HookFacts {
        switch event {
        case "push":
            return body.deleted || isZero(body.after)
                ? .deleted(ref: try ref(body.ref))
                : .moved(ref: try ref(body.ref), by: body.person)
        case "create":
            guard body.refType == "tag" else {
                return .unasked("a new branch, which a push tells, too")
            }
            return .moved(ref: try ref(body.ref.map(inTags)), by: body.person)
        case "delete":
            let kind = body.refType == "tag" ? "refs/tags/" : "refs/heads/"
            return .deleted(ref: try ref(body.ref.map { $0.hasPrefix("refs/") ? $0 : kind + $0 }))
        case "release":
            guard body.action == "published" else {
                return .unasked("a release that is \(word(body.action))")
            }
            guard !body.isDraft, !body.isPrerelease else {
                return .unasked("a draft or pre-release")
            }
            return .moved(ref: try ref(body.tag.map(inTags)), by: body.person)
        case "workflow_run":
            guard body.action == "completed", body.conclusion == "success" else {
                return .unasked("a workflow that is \(word(body.conclusion ?? body.action))")
            }
            return .passed(commit: try commit(body.headCommit), name: body.workflow ?? "")
        case "status":
            guard body.state == "success" else {
                return .unasked("a commit status that is \(word(body.state))")
            }
            return .passed(commit: try commit(body.sha), name: body.context ?? "")
        default: return .unasked("the event \(word(event))")
        }
    }

    /// As https://docs.gitlab.com/user/project/integrations/webhook_events/ has it.
    private static func gitLab(_ body: Body, _ kind: String) throws(Invalid) -> HookFacts {
        switch kind {
        case "push", "tag_push":
            return isZero(body.after)
                ? .deleted(ref: try ref(body.ref)) : .moved(ref: try ref(body.ref), by: body.person)
        case "release":
            guard body.action == "create" else {
                return .unasked("a release that is \(word(body.action))d")
            }
            return .moved(ref: try ref(body.gitLabTag.map(inTags)), by: body.person)
        case "pipeline":
            guard body.pipelineStatus == "success" else {
                return .unasked("a pipeline that is \(word(body.pipelineStatus))")
            }
            return .passed(commit: try commit(body.pipelineCommit), name: body.pipelineName ?? "")
        default: return .unasked("the event \(word(kind))")
        }
    }

    /// The form that docs/webhooks.md describes.
    private static func standard(_ body: Body, _ type: String) throws(Invalid) -> HookFacts {
        switch type {
        case "push": return .moved(ref: try ref(body.standardRef), by: body.person)
        case "delete": return .deleted(ref: try ref(body.standardRef))
        case "ci.passed":
            return .passed(commit: try commit(body.standardCommit), name: body.standardName ?? "")
        default: return .unasked("the event \(word(type))")
        }
    }

    private static func inTags(_ name: String) -> String {
        name.hasPrefix("refs/") ? name : "refs/tags/" + name
    }

    private static func isZero(_ commit: String?) -> Bool {
        commit.map { !$0.isEmpty && $0.allSatisfy { $0 == "0" } } ?? false
    }

    /// A ref's name that may be passed to git; see git-check-ref-format(1).
    private static func ref(_ text: String?) throws(Invalid) -> String {
        guard let text else { throw Invalid(reason: "the body names no ref") }
        let isSafe =
            (text.hasPrefix("refs/heads/") || text.hasPrefix("refs/tags/"))
            && text.utf8.count <= 255 && !text.contains("..") && !text.contains("//")
            && !text.contains("@{") && !text.hasSuffix("/") && !text.hasSuffix(".")
            && !text.hasSuffix(".lock")
            && text.unicodeScalars.allSatisfy {
                $0.value > 0x20 && $0.value != 0x7F && !"~^:?*[\\".unicodeScalars.contains($0)
            }
        guard isSafe else { throw Invalid(reason: "it names a ref that git does not allow") }
        return text
    }

    private static func commit(_ text: String?) throws(Invalid) -> String {
        guard let text, text.utf8.count == 40 || text.utf8.count == 64,
            text.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
        else { throw Invalid(reason: "the body names no commit") }
        return text
    }

    /// Another program's word for something, short enough for a message.
    private static func word(_ text: String?) -> String { "`\((text ?? "").prefix(40))`" }
}

/// Everything that fleet looks at in a delivery; what is missing or of another type is nil.
private struct Body: Decodable {
    private let root: Fields

    init(from decoder: any Decoder) throws {
        root = Fields(try decoder.container(keyedBy: Name.self))
    }

    private struct Name: CodingKey {
        let stringValue: String
        let intValue: Int? = nil
        init(_ text: String) { stringValue = text }
        init(stringValue: String) { self.init(stringValue) }
        init?(intValue: Int) { nil }
    }

    private struct Fields {
        private let container: KeyedDecodingContainer<Name>?
        init(_ container: KeyedDecodingContainer<Name>?) { self.container = container }

        func text(_ key: String) -> String? {
            // Of another type: then it is not what was looked for.
            (try? container?.decodeIfPresent(String.self, forKey: Name(key))) ?? nil
        }
        func flag(_ key: String) -> Bool {
            // Of another type: then it is not what was looked for.
            ((try? container?.decodeIfPresent(Bool.self, forKey: Name(key))) ?? nil) ?? false
        }
        func at(_ key: String) -> Fields {
            // Missing, or of another type: then nothing is found in it.
            Fields(try? container?.nestedContainer(keyedBy: Name.self, forKey: Name(key)))
        }
    }

    var ref: String? { root.text("ref") }
    var refType: String? { root.text("ref_type") }
    var after: String? { root.text("after") }
    var deleted: Bool { root.flag("deleted") }
    var action: String? { root.text("action") }
    var state: String? { root.text("state") }
    var sha: String? { root.text("sha") }
    var context: String? { root.text("context") }
    var tag: String? { root.at("release").text("tag_name") }
    var isDraft: Bool { root.at("release").flag("draft") }
    var isPrerelease: Bool { root.at("release").flag("prerelease") }
    var conclusion: String? { root.at("workflow_run").text("conclusion") }
    var headCommit: String? { root.at("workflow_run").text("head_sha") }
    var workflow: String? { root.at("workflow_run").text("name") }
    var kind: String? { root.text("object_kind") }
    var gitLabTag: String? { root.text("tag") }
    var pipelineStatus: String? { root.at("object_attributes").text("status") }
    var pipelineCommit: String? { root.at("object_attributes").text("sha") }
    var pipelineName: String? { root.at("object_attributes").text("name") }
    var type: String? { root.text("type") }
    var standardRef: String? { root.at("data").text("ref") }
    var standardCommit: String? { root.at("data").text("commit") }
    var standardName: String? { root.at("data").text("name") }

    func project(at provider: Hook.Provider) -> String? {
        switch provider {
        case .github, .gitea, .forgejo: root.at("repository").text("full_name")
        case .gitlab: root.at("project").text("path_with_namespace")
        case .standard: root.at("data").text("repository")
        }
    }

    /// Whoever is named, by the fields that one of the providers uses.
    var person: HookFacts.Person {
        HookFacts.Person(
            login: root.at("sender").text("login") ?? root.text("user_username")
                ?? root.at("user").text("username") ?? root.at("pusher").text("login")
                ?? root.at("data").text("pusher"),
            address: root.at("pusher").text("email") ?? root.text("user_email")
        )
    }
}
