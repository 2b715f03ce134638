internal import FleetInventory
internal import FleetJournal
public import FleetOperations
internal import FleetReport
internal import FleetRollout
public import FleetServing
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL
internal import Synchronization

/// The server: pages, an API and hooks over the same operations as the command line.
public final class FleetServer: Sendable {
    private let engine: ServerEngine
    private let dispatcher: Dispatcher
    private let responder: Responder
    /// The routes.
    var table: RouteTable { responder.gate.table }
    private let tls: ReloadedTLS?

    /// How long a connection may do nothing, in seconds; also how long a request's headers may take.
    private static let idleSeconds = 30
    /// The most connections at a time.
    private static let mostConnections = 4_000
    /// How long the first look at the project may hold the server up, in seconds.
    private static let firstLookSeconds = 10
    /// How long answers have when the server stops, in milliseconds.
    private static let lastMilliseconds = 1_000

    /// Prepares a server: reads its secrets and its certificate, and checks its routes.
    ///
    /// - Parameters:
    ///   - engine: The engine.
    ///   - fastPasswords: Whether passwords are hashed at little cost, for tests.
    /// - Throws: ``OperationFailure``.
    public init(_ engine: ServerEngine, fastPasswords: Bool = false) async throws(OperationFailure)
    {
        self.engine = engine
        dispatcher = Dispatcher(for: engine)
        var secrets: [String: [String]] = [:]
        for hook in engine.file.hooks {
            for secret in hook.secrets {
                secrets[hook.name, default: []].append(try await engine.secret(secret))
            }
        }
        // The same secret at two providers lets the one speak for the other.
        let all = secrets.values.flatMap { $0 }
        guard Set(all).count == all.count else {
            throw OperationFailure(
                .invalidFiles,
                "two hooks have the same secret, so that whoever has one can send to the other",
                hints: ["give each hook a secret of its own: openssl rand -hex 32"]
            )
        }
        for (name, some) in secrets where some.contains(where: { $0.utf8.count < 16 }) {
            throw OperationFailure(
                .invalidFiles,
                "the secret of the hook \(name) is shorter than 16 bytes and could be guessed",
                hints: ["openssl rand -hex 32"]
            )
        }
        tls = try engine.file.tls.map { settings throws(OperationFailure) in
            try ReloadedTLS(settings)
        }
        do {
            let sessions = Sessions(file: engine.file, store: engine.store)
            let pages = try Pages(engine, sessions)
            let counters = Counters()
            let rights = RightsCheck(engine: engine)
            let overview = OverviewPages(
                pages: pages,
                rights: rights,
                dispatcher: dispatcher
            )
            let rollouts = RolloutPages(pages, counters)
            let routes =
                overview.routes + rollouts.routes
                + RecordPages(pages: pages, dispatcher: dispatcher).routes
                + AccountPages(
                    pages: pages,
                    passwords: fastPasswords ? Passwords(logRounds: 10) : Passwords(),
                    throttle: Throttle()
                ).routes
                + APIRoutes(
                    pages: pages,
                    rights: rights,
                    dispatcher: dispatcher,
                    counters: counters
                ).routes
                + HookRoutes(engine: engine, counters: counters, secrets: secrets).routes
                + Probes(engine: engine, counters: counters).routes + Assets.routes
            let gate = Gate(engine, sessions, try RouteTable(routes))
            responder = Responder(gate: gate, pages: pages, counters: counters)
        } catch {
            throw OperationFailure(.internalError, "the server's routes: \(error)")
        }
    }

    /// Serves until it is told to stop.
    ///
    /// - Parameters:
    ///   - ready: Called with the port, or 0 for a Unix socket, once requests are taken.
    ///   - stopped: Returns when the server is to stop: nothing new begins then, what is in flight ends, and the rest
    ///     is left to the next server.
    /// - Throws: ``OperationFailure`` if nothing can be served at the address.
    public func run(
        ready: @escaping @Sendable (Int) -> Void,
        until stopped: @escaping @Sendable () async -> Void
    ) async throws(OperationFailure) {
        var logger = Logger(label: "fleet-server")
        // A stream that is cut when the server ends is no error.
        logger.logLevel = .critical
        await engine.keeper.recall()
        // Who comes first shall find the project; one that cannot be read within that time is said on its page.
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = try? await self.engine.keeper.refresh() }
            group.addTask { try? await Task.sleep(for: .seconds(Self.firstLookSeconds)) }
            _ = await group.next()
            group.cancelAll()
        }
        let address: BindAddress =
            switch engine.file.listen {
            case .address(let host, let port): .hostname(host, port: port)
            case .socket(let path): .unixDomainSocket(path: path)
            }
        let application = Application(
            responder: responder,
            server: builder(),
            configuration: ApplicationConfiguration(
                address: address,
                serverName: nil,
                backlog: 1_024,
                availableConnectionsDelegate: MaximumAvailableConnections(Self.mostConnections)
            ),
            onServerRunning: { channel in ready(channel.localAddress?.port ?? 0) },
            logger: logger
        )
        let result = await withTaskGroup(of: Result<Void, OperationFailure>?.self) { group in
            group.addTask {
                do {
                    try await application.run()
                    return .success(())
                } catch is CancellationError {
                    return .success(())
                } catch {
                    return .failure(
                        OperationFailure(
                            .stateDirectory,
                            "the server cannot listen on \(self.engine.file.listen.text): \(error)",
                            hints: [
                                "see whether something else does: ss -ltnp",
                                "change `listen` in the server file",
                            ]
                        )
                    )
                }
            }
            group.addTask {
                await self.dispatcher.run()
                return nil
            }
            group.addTask {
                await stopped()
                self.engine.rollouts.close()
                await self.engine.rollouts.isIdle()
                // Cancelled only if serving has ended already.
                try? await Task.sleep(for: .milliseconds(Self.lastMilliseconds))
                return .success(())
            }
            var first: Result<Void, OperationFailure>?
            while first == nil, let next = await group.next() { first = next }
            group.cancelAll()
            return first ?? .success(())
        }
        try result.get()
    }

    /// Reads the certificate and its key anew; connections that are open stay as they are.
    ///
    /// - Throws: ``OperationFailure``; the one that was used before stays in use then.
    public func reload() throws(OperationFailure) { try tls?.reload() }

    private func builder() -> HTTPServerBuilder {
        let tls = tls
        return HTTPServerBuilder { responder in
            let channel = HTTP1Channel(
                responder: responder,
                configuration: HTTP1Channel.Configuration(
                    additionalChannelHandlers: [ConnectionGuard()],
                    idleTimeout: .seconds(Int64(Self.idleSeconds)),
                    httpDecoderConfiguration: HTTP1Channel.Configuration.DecoderConfiguration(
                        maxHeaderFieldSize: 16 << 10,
                        maxHeaderListSize: 32 << 10,
                        maxHeaderFieldCount: 100
                    )
                )
            )
            guard let tls else { return channel }
            return TLSLayer(base: channel, tls: tls)
        }
    }
}

extension ServerFile.Listen {
    /// The address, for messages.
    public var text: String {
        switch self {
        case .address(let host, let port):
            host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .socket(let path): "unix:\(path)"
        }
    }
}

/// A certificate that can be replaced while the server runs.
final class ReloadedTLS: Sendable {
    private let settings: ServerFile.TLS
    private let context: Mutex<NIOSSLContext>

    init(_ settings: ServerFile.TLS) throws(OperationFailure) {
        self.settings = settings
        context = Mutex(try Self.read(settings))
    }

    /// The one in use.
    var current: NIOSSLContext { context.withLock { $0 } }

    func reload() throws(OperationFailure) {
        let new = try Self.read(settings)
        context.withLock { $0 = new }
    }

    private static func read(_ settings: ServerFile.TLS) throws(OperationFailure) -> NIOSSLContext {
        do {
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMFile(settings.certificate).map {
                    .certificate($0)
                },
                privateKey: .privateKey(try NIOSSLPrivateKey(file: settings.key, format: .pem))
            )
            configuration.minimumTLSVersion = .tlsv12
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw OperationFailure(
                .invalidFiles,
                "the certificate \(settings.certificate) and its key \(settings.key) cannot be used: \(error)",
                hints: ["both are PEM files, and the key belongs to the first certificate"]
            )
        }
    }
}

/// TLS below HTTP, with the certificate that is in use when a connection begins.
private struct TLSLayer: ServerChildChannel {
    let base: HTTP1Channel
    let tls: ReloadedTLS

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
                NIOSSLServerHandler(context: tls.current)
            )
        }.flatMap { base.setup(channel: channel, logger: logger) }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async {
        await base.handle(value: value, logger: logger)
    }
}

/// Whether the server lives, and what it counts.
struct Probes: Sendable {
    let engine: ServerEngine
    let counters: Counters

    var routes: [Route] {
        [
            Route(.get, "/healthz", .nothing, .api) { _ in .text("ok\n") },
            Route(.get, "/readyz", .nothing, .api) { _ in await ready() },
            Route(.get, "/metrics", .account, .api) { _ in await metrics() },
        ]
    }

    private func ready() async -> Reply {
        if engine.rollouts.isClosed { return .text("stopping\n", .serviceUnavailable) }
        guard await engine.keeper.version != nil else {
            return .text("the project has not been read\n", .serviceUnavailable)
        }
        do { _ = try await engine.environments() } catch {
            return .text("the journal cannot be read\n", .serviceUnavailable)
        }
        return .text("ready\n")
    }

    private func metrics() async -> Reply {
        var lines = counters.lines
        lines += [
            "# TYPE fleet_rollouts_running gauge",
            "fleet_rollouts_running \(engine.rollouts.running.count)",
        ]
        let open = (try? await engine.store.openWishes().count) ?? -1
        lines += ["# TYPE fleet_wishes_open gauge", "fleet_wishes_open \(open)"]
        return Reply(
            status: .ok,
            headers: [.contentType: "text/plain; version=0.0.4"],
            body: .bytes(Array((lines.joined(separator: "\n") + "\n").utf8))
        )
    }
}

/// The files that pages need.
enum Assets {
    private static let files: [String: (type: String, bytes: [UInt8])] = [
        "fleet.css": ("text/css; charset=utf-8", PackageResources.fleet_css),
        "fleet.js": ("text/javascript; charset=utf-8", PackageResources.fleet_js),
        "fleet.svg": ("image/svg+xml", PackageResources.fleet_svg),
    ]

    static var routes: [Route] {
        [
            Route(.get, "/assets/{name}", .nothing, .api) { call in
                guard let file = files[call.parameters["name"] ?? ""] else {
                    throw Refusal(.notFound, "there is no such file")
                }
                return Reply(
                    status: .ok,
                    headers: [.contentType: file.type],
                    body: .bytes(file.bytes)
                )
                .with(.cacheControl, "public, max-age=300")
            }
        ]
    }
}

extension FleetServer {
    /// Makes a link by which somebody sets a password.
    ///
    /// - Parameters:
    ///   - account: The account.
    ///   - engine: The engine.
    /// - Returns: The link; it holds for a day, and once.
    /// - Throws: ``OperationFailure`` if there is no such account.
    public static func invite(_ account: String, _ engine: ServerEngine)
        async throws(OperationFailure) -> String
    {
        guard engine.file.account(named: account) != nil else {
            throw OperationFailure(
                .usage,
                "the server file has no account `\(Sanitizer.line(account))`",
                hints: ["it has: \(engine.file.accounts.map(\.name).joined(separator: ", "))"]
            )
        }
        do { return try await AccountPages.invite(account, engine, at: ServerEngine.now()) } catch {
            throw OperationFailure(of: error) ?? OperationFailure(.internalError, "\(error)")
        }
    }
}
