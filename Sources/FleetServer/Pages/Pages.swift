internal import FleetInventory
internal import FleetJournal
internal import FleetOperations
internal import FleetReport
internal import FleetServing
internal import HTTPTypes
internal import Mustache

/// Makes pages of values: the only place that knows templates.
struct Pages: Sendable {
    let engine: ServerEngine
    let sessions: Sessions
    private let library: MustacheLibrary

    /// Text of any origin in a page: escaped, without control characters, and without marks that turn its direction.
    private struct Escaped: MustacheContentType {
        func escapeText(_ text: String) -> String { HTMLText.escaped(text) }
    }

    /// Reads the templates.
    ///
    /// - Throws: If one cannot be read, which a test would have found.
    init(_ engine: ServerEngine, _ sessions: Sessions) throws {
        self.engine = engine
        self.sessions = sessions
        MustacheContentTypes.register(Escaped(), named: "FLEET")
        var library = MustacheLibrary()
        for (name, bytes) in Self.templates {
            try library.register(
                "{{% CONTENT_TYPE: FLEET}}" + String(decoding: bytes, as: UTF8.self),
                named: name
            )
        }
        self.library = library
    }

    static let templates: [String: [UInt8]] = [
        "account": PackageResources.account_mustache,
        "approvals": PackageResources.approvals_mustache,
        "audit": PackageResources.audit_mustache, "board": PackageResources.board_mustache,
        "deliveries": PackageResources.deliveries_mustache,
        "environment": PackageResources.environment_mustache,
        "health": PackageResources.health_mustache,
        "history": PackageResources.history_mustache, "host": PackageResources.host_mustache,
        "hosts": PackageResources.hosts_mustache,
        "invitation": PackageResources.invitation_mustache,
        "layout": PackageResources.layout_mustache, "overview": PackageResources.overview_mustache,
        "password": PackageResources.password_mustache,
        "preview": PackageResources.preview_mustache,
        "project": PackageResources.project_mustache, "refusal": PackageResources.refusal_mustache,
        "releases": PackageResources.releases_mustache,
        "rollout": PackageResources.rollout_mustache,
        "rollouts": PackageResources.rollouts_mustache,
        "sign-in": PackageResources.sign_in_mustache,
    ]

    /// Makes a page, or a part of one.
    func render(_ template: String, _ model: Any) -> String {
        library.render(model, withTemplate: template) ?? ""
    }

    /// Makes a page.
    func page(_ template: String, _ model: Any, _ status: HTTPResponse.Status = .ok) -> Reply {
        .page(render(template, model), status)
    }

    /// What stands around every page.
    struct Frame {
        struct Link {
            let name: String
            let path: String
            let isCurrent: Bool
            var count: Int?
        }

        var title: String
        var account: String?
        var csrf: String
        var links: [Link]
        var notice: String?
        var warning: String?
        var stream: String?
        let version: String
        let machine: String
        var commit: String?
    }

    /// The frame of a page.
    ///
    /// - Parameters:
    ///   - title: The page's title.
    ///   - call: The request.
    ///   - place: The path of the page in the navigation.
    /// - Returns: The frame.
    func frame(_ title: String, _ call: Call, at place: String = "") async -> Frame {
        let version = await engine.keeper.version
        var links: [Frame.Link] = []
        if call.caller != nil {
            for (name, path) in [
                ("Overview", "/"), ("Rollouts", "/rollouts"), ("Approvals", "/approvals"),
                ("Releases", "/releases"), ("Deliveries", "/deliveries"), ("Audit", "/audit"),
                ("Project", "/project"),
            ] {
                links.append(Frame.Link(name: name, path: path, isCurrent: path == place))
            }
            links[2].count = await waitingApprovals(call)
            if let pending = version?.pending.count, pending > 0 { links[6].count = pending }
        }
        return Frame(
            title: title,
            account: call.caller?.account.name,
            csrf: call.caller?.session?.secret ?? "",
            links: links,
            version: engine.version,
            machine: engine.machine,
            commit: call.caller == nil ? nil : version.map { String($0.commit.prefix(12)) }
        )
    }

    /// How many wishes wait for an approval that the caller may see; nil for none.
    private func waitingApprovals(_ call: Call) async -> Int? {
        // A number in the navigation is not worth an error page.
        let open = (try? await engine.store.openWishes()) ?? []
        let count = open.count { wish in
            Self.waitsForApproval(wish) && call.may(.view, in: wish.environment, isProtected: true)
        }
        return count > 0 ? count : nil
    }

    /// Whether a wish waits for somebody's approval.
    static func waitsForApproval(_ wish: Wish) -> Bool {
        guard case .held(let reasons) = wish.state else { return false }
        let codes: Set<String> = [
            "E_NOT_APPROVED", "E_APPROVED_OTHER", "E_OWN_APPROVAL", "E_APPROVER_UNKNOWN",
            "E_APPROVAL_EXPIRED", "E_APPROVAL_WITHDRAWN", "E_APPROVAL_FUTURE",
        ]
        return reasons.contains { ErrorCatalog.code(in: $0).map(codes.contains) ?? false }
    }

    /// A page that says why there is no other.
    func refusal(_ refusal: Refusal, _ call: Call) async -> Reply {
        // What was asked for comes after the sign-in.
        if refusal.status == .unauthorized, call.method == .get {
            return .see("/sign-in?back=\(Percent.encoded(Self.path(of: call)))")
        }
        if refusal.wantsPassword {
            let back = call.method == .get ? Self.path(of: call) : Self.backPath(call) ?? "/"
            return .see("/password?back=\(Percent.encoded(back))")
        }
        struct Model {
            let frame: Frame
            let status: String
            let look: String
            let message: String
            let hasHints: Bool
            let hints: [Text]
        }
        let model = Model(
            frame: await frame("\(refusal.status.code)", call),
            status: refusal.status.code == 404 ? "There is no such page" : "This was not done",
            look: refusal.status.code == 404 ? "" : "bad",
            message: refusal.failure.message,
            hasHints: !refusal.failure.hints.isEmpty,
            hints: refusal.failure.hints.map(Text.init)
        )
        return page("refusal", model, refusal.status)
    }

    /// A line in a list.
    struct Text {
        let text: String
        init(_ text: String) { self.text = text }
    }

    /// The path of a request, as it may be asked for again.
    static func path(of call: Call) -> String {
        "/" + call.segments.map(Percent.encoded).joined(separator: "/")
    }

    /// The page that a form stands on, from the `Referer` header; nil if that is none of ours.
    static func backPath(_ call: Call) -> String? {
        guard let referer = call.headers[.referer], let scheme = referer.firstRange(of: "://")
        else { return nil }
        let rest = referer[scheme.upperBound...]
        guard let slash = rest.firstIndex(of: "/") else { return nil }
        let path = rest[slash...].prefix { $0 != "?" && $0 != "#" }
        return RequestPath.segments(path).map {
            "/" + $0.map(Percent.encoded).joined(separator: "/")
        }
    }

    /// A path of ours from a form or a query; `/` if it is none.
    static func ours(_ path: String?) -> String {
        guard let path, path.hasPrefix("/"), !path.hasPrefix("//"),
            RequestPath.segments(path[...]) != nil
        else {
            return "/"
        }
        return path
    }

    // MARK: How things are shown

    /// A time as people read it.
    static func time(_ unixMilliseconds: Int) -> String {
        String(Zone.utc.minute(unixMilliseconds: unixMilliseconds))
    }

    /// A time as machines read it.
    static func iso(_ unixMilliseconds: Int) -> String {
        Zone.rfc3339(unixMilliseconds: unixMilliseconds)
    }

    /// How long ago that is.
    static func ago(_ unixMilliseconds: Int, now: Int) -> String {
        let seconds = max(0, now - unixMilliseconds) / 1000
        return switch seconds {
        case 0..<60: "just now"
        case 60..<3_600: "\(seconds / 60) min ago"
        case 3_600..<86_400: "\(seconds / 3_600) h ago"
        default: "\(seconds / 86_400) d ago"
        }
    }

    /// The look and the sign of an outcome: never told apart by colour alone.
    static func look(_ outcome: String?) -> (look: String, glyph: String) {
        switch outcome {
        case "succeeded": ("good", "✓")
        case "reverted": ("warn", "↺")
        case "refused": ("warn", "–")
        case nil: ("", "…")
        default: ("bad", "✕")
        }
    }
}
