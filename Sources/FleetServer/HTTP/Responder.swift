internal import FleetOperations
internal import FleetReport
internal import FleetServing
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import NIOCore

/// What a request brings along besides itself.
struct ServerContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// The other end of the connection; nil for a Unix socket.
    let peer: String?

    init(source: Source) {
        coreContext = .init(source: source)
        peer = source.channel.remoteAddress?.ipAddress
    }
}

/// Between Hummingbird and our routes: reads requests within limits, and writes answers.
struct Responder: HTTPResponder {
    let gate: Gate
    let pages: Pages
    let counters: Counters
    let budget = BodyBudget()
    private var file: ServerFile { gate.engine.file }

    /// The longest that a body may take to arrive, in milliseconds.
    private static let bodyMilliseconds = 30_000
    /// The longest that a reader of a stream may take for what was sent, in milliseconds.
    static let readerMilliseconds = 20_000

    func respond(to request: Request, context: ServerContext) async throws -> Response {
        var (response, route) = await answer(request, context)
        decorate(&response, route)
        counters.count(response.status.code)
        if request.method == .head { response.body = ResponseBody() }
        return response
    }

    private func answer(_ request: Request, _ context: ServerContext) async -> (Response, Route?) {
        guard let segments = RequestPath.segments(request.uri.path[...]) else {
            return (response(.text("this path is refused\n", .badRequest)), nil)
        }
        var call = Call(
            method: request.method,
            segments: segments,
            query: Form(request.uri.query ?? ""),
            headers: request.headers,
            address: AddressRange.client(
                peer: context.peer,
                forwarded: request.headers[values: .forwardedFor],
                proxies: file.trustedProxies
            ),
            peer: context.peer,
            now: ServerEngine.now()
        )
        let isAPI = segments.first == "api"
        switch gate.table.find(request.method, segments) {
        case .nothing:
            return (
                await refuse(
                    Refusal(.notFound, "there is no such page"),
                    call,
                    isAPI ? .api : .page
                ), nil
            )
        case .otherMethods(let methods):
            let allowed = Set(methods.map(\.rawValue)).sorted().joined(separator: ", ")
            var found = await refuse(
                Refusal(.methodNotAllowed, "this takes \(allowed)"),
                call,
                isAPI ? .api : .page
            )
            found.headers[.allow] = allowed
            return (found, nil)
        case .route(let route, let parameters):
            call.parameters = parameters
            // What a request holds in memory is given back when it is answered.
            let share = budget.share()
            do {
                try route.precheck?(call)
                call.body = try await body(of: request, route, share)
                let reply = try await gate.pass(call, to: route)
                withExtendedLifetime(share) {}
                return (response(reply), route)
            } catch {
                return (await refuse(refusal(error, context), call, route.face), route)
            }
        }
    }

    private func refusal(_ error: any Error, _ context: ServerContext) -> Refusal {
        if let refusal = error as? Refusal { return refusal }
        if let failure = error as? OperationFailure { return Refusal(failure) }
        if let failure = OperationFailure(of: error) { return Refusal(failure) }
        context.logger.error("a request failed", metadata: ["error": "\(error)"])
        return Refusal(.internalServerError, "something went wrong; the server's log says what")
    }

    private func refuse(_ refusal: Refusal, _ call: Call, _ face: Face) async -> Response {
        switch face {
        case .api:
            var found = response(.json(APIFailure(refusal), refusal.status))
            if refusal.status == .unauthorized { found.headers[.wwwAuthenticate] = "Bearer" }
            return found
        case .hook: return response(.text(refusal.failure.message + "\n", refusal.status))
        case .page: return response(await pages.refusal(refusal, call))
        }
    }

    /// Reads a body, within the route's limit and a time.
    private func body(of request: Request, _ route: Route, _ share: BodyBudget.Share) async throws
        -> [UInt8]
    {
        guard request.method == .post || request.method == .put || request.method == .delete else {
            return []
        }
        let limit = route.bodyLimit
        let tooLong = Refusal(.contentTooLarge, "a body may have \(limit) bytes here")
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit {
            throw tooLong
        }
        return try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
            group.addTask {
                var bytes: [UInt8] = []
                for try await part in request.body {
                    guard bytes.count + part.readableBytes <= limit else { throw tooLong }
                    guard share.take(part.readableBytes) else {
                        throw Refusal(.serviceUnavailable, "too many long requests at once")
                    }
                    bytes += part.readableBytesView
                }
                return bytes
            }
            group.addTask {
                try await Task.sleep(for: .milliseconds(Self.bodyMilliseconds))
                return nil
            }
            defer { group.cancelAll() }
            guard let first = try await group.next(), let bytes = first else {
                throw Refusal(
                    .requestTimeout,
                    "the body did not arrive within \(Self.bodyMilliseconds / 1000) s"
                )
            }
            return bytes
        }
    }

    private func response(_ reply: Reply) -> Response {
        switch reply.body {
        case .bytes(let bytes):
            return Response(
                status: reply.status,
                headers: reply.headers,
                body: bytes.isEmpty
                    ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
            )
        case .stream(let run):
            return Response(
                status: reply.status,
                headers: reply.headers,
                body: ResponseBody { writer in
                    // The writer is used by one task at a time: the stream's.
                    let pipe = StreamPipe()
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask {
                            await run(pipe)
                            await pipe.close()
                        }
                        while let bytes = await pipe.next() {
                            try await writer.write(ByteBuffer(bytes: bytes))
                            await pipe.taken()
                        }
                        group.cancelAll()
                    }
                    try await writer.finish(nil)
                }
            )
        }
    }

    /// The headers of every answer.
    ///
    /// Pages get nothing from elsewhere, run no script but ours, and stand in nobody's frame.
    private func decorate(_ response: inout Response, _ route: Route?) {
        var headers = response.headers
        if headers[.securityPolicy] == nil {
            headers[.securityPolicy] =
                "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
                + "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        }
        headers[.xContentTypeOptions] = "nosniff"
        headers[.referrerPolicy] = "same-origin"
        headers[.openerPolicy] = "same-origin"
        headers[.frameOptions] = "DENY"
        if headers[.cacheControl] == nil { headers[.cacheControl] = "no-store" }
        if file.isSecure { headers[.strictTransportSecurity] = "max-age=31536000" }
        response.headers = headers
    }
}

/// Carries what a stream sends to the connection, one piece at a time, and gives up on a reader that does not read.
private actor StreamPipe: ReplySink {
    struct Gone: Error {}

    private var piece: [UInt8]?
    private var isClosed = false
    private var reader: CheckedContinuation<[UInt8]?, Never>?
    private var sender: CheckedContinuation<Bool, Never>?
    private var sent = 0
    private var isSending = false
    private var turns: [CheckedContinuation<Void, Never>] = []

    func send(_ bytes: [UInt8]) async throws {
        // One at a time: what is sent is never mixed.
        while isSending { await withCheckedContinuation { turns.append($0) } }
        isSending = true
        defer {
            isSending = false
            if !turns.isEmpty { turns.removeFirst().resume() }
        }
        guard !isClosed else { throw Gone() }
        sent += 1
        let number = sent
        if let reader {
            self.reader = nil
            reader.resume(returning: bytes)
        } else {
            piece = bytes
        }
        let watch = Task {
            try await Task.sleep(for: .milliseconds(Responder.readerMilliseconds))
            self.giveUp(on: number)
        }
        let isTaken = await withCheckedContinuation {
            (continuation: CheckedContinuation<Bool, Never>) in
            sender = continuation
        }
        watch.cancel()
        guard isTaken else { throw Gone() }
    }

    private func giveUp(on number: Int) {
        guard number == sent, let sender else { return }
        self.sender = nil
        isClosed = true
        reader?.resume(returning: nil)
        reader = nil
        sender.resume(returning: false)
    }

    /// The next piece; nil at the end, or if the connection is gone.
    func next() async -> [UInt8]? {
        if let piece {
            self.piece = nil
            return piece
        }
        guard !isClosed else { return nil }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { reader = $0 }
        } onCancel: {
            Task { await self.close() }
        }
    }

    func taken() {
        sender?.resume(returning: true)
        sender = nil
    }

    func close() {
        isClosed = true
        reader?.resume(returning: nil)
        reader = nil
        sender?.resume(returning: false)
        sender = nil
    }
}
