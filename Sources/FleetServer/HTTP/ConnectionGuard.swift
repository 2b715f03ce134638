internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import NIOCore
internal import NIOHTTPTypes

/// Closes connections that only take up room: requests that do not come to an end, bodies that nobody wants any more,
/// and readers that do not read.
///
/// Hummingbird closes connections that do nothing between two requests. It waits without limit for a request's end and
/// for a reader (2.28: `HTTPConnectionStateHandler.timeoutTriggered`, `handleHTTP`).
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// How long a request may take from its head to its end, in seconds: more than its body has.
    private static let requestSeconds: Int64 = 35
    /// How long a reader may take for what fills the connection's buffer, in seconds.
    private static let readerSeconds: Int64 = 60
    /// How long an answer has to arrive that was given before its request had ended, in seconds.
    private static let lingeringSeconds: Int64 = 1

    private var isReadingRequest = false
    private var reading: Scheduled<Void>?
    private var writing: Scheduled<Void>?

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            isReadingRequest = true
            reading?.cancel()
            reading = close(context, in: Self.requestSeconds)
        case .body: break
        case .end:
            isReadingRequest = false
            reading?.cancel()
            reading = nil
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        context.write(data, promise: promise)
        guard case .end = unwrapOutboundIn(data), isReadingRequest else { return }
        // What still comes is for nobody.
        reading?.cancel()
        reading = close(context, in: Self.lingeringSeconds)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        writing?.cancel()
        writing = context.channel.isWritable ? nil : close(context, in: Self.readerSeconds)
        context.fireChannelWritabilityChanged()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        reading?.cancel()
        writing?.cancel()
    }

    private func close(_ context: ChannelHandlerContext, in seconds: Int64) -> Scheduled<Void> {
        let channel = context.channel
        return context.eventLoop.scheduleTask(in: .seconds(seconds)) {
            channel.close(promise: nil)
        }
    }
}

@available(*, unavailable)
extension ConnectionGuard: Sendable {}
