internal import FleetServing
internal import HTTPTypes

/// What a request has to show before a route is taken.
enum Need: Sendable, Hashable {
    /// Nothing: there is a short list of such routes, and a test that compares.
    case nothing
    /// To be signed in.
    case account
    /// A right that concerns the server as a whole.
    case server(Right)
    /// A right in the environment that the path names as `{environment}`.
    case environment(Right)
    /// A right in the environment of the rollout that the path names as `{rollout}`.
    case rollout(Right)
    /// A right in an environment that the body names: the handler checks it, by ``Gate/require(_:_:in:)``.
    case named(Right)
}

/// How a request comes, and so how it is checked and how refusals look.
enum Face: String, Sendable, Hashable {
    /// A browser: cookies, forms with a secret.
    case page
    /// A program: a token, or a browser's session for reading.
    case api
    /// A provider: a signature.
    case hook
}

/// One way to ask the server for something.
struct Route: Sendable {
    /// The method.
    let method: HTTPRequest.Method
    /// The path, with placeholders, as in `/rollouts/{rollout}`.
    let path: String
    /// What a request has to show.
    let need: Need
    /// How it comes.
    let face: Face
    /// The longest body, in bytes.
    var bodyLimit = 64 << 10
    /// Refuses a request before its body is read; nil if nothing can be said before.
    var precheck: (@Sendable (Call) throws -> Void)?
    /// Answers.
    let handle: @Sendable (Call) async throws -> Reply

    /// Describes a route.
    init(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ need: Need,
        _ face: Face,
        bodyLimit: Int = 64 << 10,
        handle: @escaping @Sendable (Call) async throws -> Reply
    ) {
        self.method = method
        self.path = path
        self.need = need
        self.face = face
        self.bodyLimit = bodyLimit
        self.handle = handle
        pattern = path.split(separator: "/").map(String.init)
    }

    private let pattern: [String]

    /// What the placeholders stand for in a path; nil if it is another one's.
    func match(_ segments: [String]) -> [String: String]? {
        guard segments.count == pattern.count else { return nil }
        var found: [String: String] = [:]
        for (part, text) in zip(pattern, segments) {
            if part.hasPrefix("{") {
                found[String(part.dropFirst().dropLast())] = text
            } else if part != text {
                return nil
            }
        }
        return found
    }
}

/// All routes of the server.
struct RouteTable: Sendable {
    /// The routes.
    let routes: [Route]

    /// Why routes cannot be served as they are; the server does not start with them.
    struct Unsafe: Error, Sendable, Hashable {
        /// What is wrong.
        let reason: String
    }

    /// Paths that need nothing, besides ``assets``.
    static let open: Set<String> = [
        "GET /sign-in", "POST /sign-in", "GET /invitation/{secret}",
        "POST /invitation/{secret}", "POST /hooks/{hook}", "GET /healthz", "GET /readyz",
        "GET /assets/{name}",
    ]

    /// Checks routes.
    ///
    /// - Throws: ``Unsafe`` if one could be reached by whoever should not reach it.
    init(_ routes: [Route]) throws(Unsafe) {
        var seen: Set<String> = []
        for route in routes {
            let name = "\(route.method.rawValue) \(route.path)"
            guard seen.insert(name).inserted else { throw Unsafe(reason: "\(name) is there twice") }
            let isOpen = Self.open.contains(name)
            guard (route.need == .nothing) == isOpen else {
                throw Unsafe(reason: "\(name) \(isOpen ? "asks for" : "lacks") a right")
            }
            switch route.need {
            case .environment where !route.path.contains("{environment}"),
                .rollout where !route.path.contains("{rollout}"):
                throw Unsafe(reason: "\(name) does not name what its right is about")
            default: break
            }
            if route.method == .get {
                switch route.need {
                case .nothing, .account, .server(.view), .environment(.view), .rollout(.view),
                    .named(.view),
                    .server(.administer):
                    break
                default: throw Unsafe(reason: "\(name) would change something, and is a GET")
                }
            }
        }
        self.routes = routes
    }

    /// What was found for a request.
    enum Found {
        case route(Route, [String: String])
        case otherMethods([HTTPRequest.Method])
        case nothing
    }

    /// Finds the route of a request.
    func find(_ method: HTTPRequest.Method, _ segments: [String]) -> Found {
        var others: [HTTPRequest.Method] = []
        for route in routes {
            guard let parameters = route.match(segments) else { continue }
            if route.method == method || method == .head && route.method == .get {
                return .route(route, parameters)
            }
            others.append(route.method)
        }
        return others.isEmpty ? .nothing : .otherMethods(others)
    }
}
