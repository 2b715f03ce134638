internal import CLibSSH2
internal import FleetReactor
internal import FleetTransport
internal import Glibc

extension SSHSession {
    // MARK: Handshake

    /// Exchanges banners and keys, and returns the key that the host proved.
    ///
    /// The types of the keys known for the host come first, so that it proves one of them.
    func handshake(
        hostKeyTypes: [String],
        algorithms: AlgorithmChoice = .usual,
        bannerWithin bannerMilliseconds: Int,
        keysWithin handshakeMilliseconds: Int
    ) async throws(TransportError) -> HostKey {
        let session = try begin()
        let known = hostKeyTypes.filter { !$0.isEmpty }
        self.algorithms = algorithms
        for (method, names) in Algorithms.preferences(hostKeyTypes: known, of: algorithms) {
            guard !names.isEmpty else {
                throw .noCommonAlgorithm(
                    reason:
                        "`\(Algorithms.keyword(of: method))` of ssh_config leaves nothing that libssh2 "
                        + "\(LibSSH2.version) can do; it has "
                        + Algorithms.all(method).joined(separator: ", ")
                )
            }
            libssh2_session_method_pref(session, method, names)
        }
        let null = LibSSH2.placeholder
        // Once this returns the server has shown that it speaks SSH.
        var end: Int32?
        let isOver = try await perform(.banner, within: bannerMilliseconds) {
            () throws(TransportError) -> Bool? in
            if let end {
                guard let error = self.noBanner(end, said: "") else { return nil }
                throw error
            }
            let status = libssh2_session_handshake(session, null)
            if status == 0 { return true }
            let bytes = self.wire.opening ?? []
            let isUsual = ServerOpening.beginsWithBanner(bytes)
            let opening = isUsual ? nil : ServerOpening(bytes)
            guard let opening, opening.banner == nil else {
                guard status == LIBSSH2_ERROR_EAGAIN else { throw self.noHandshake(status) }
                return false
            }
            if let problem = opening.problem { throw .notSSH(seen: problem) }
            guard status != LIBSSH2_ERROR_EAGAIN else { return nil }
            end = status
            guard let error = self.noBanner(status, said: opening.firstWords) else { return nil }
            throw error
        }
        if !isOver {
            _ = try await perform(.handshake, within: handshakeMilliseconds) {
                () throws(TransportError) -> Bool? in
                let status = libssh2_session_handshake(session, null)
                if status == LIBSSH2_ERROR_EAGAIN { return nil }
                guard status == 0 else { throw self.noHandshake(status) }
                return true
            }
        }
        wire.forgetOpening()
        var length = 0
        var type: Int32 = 0
        guard let key = libssh2_session_hostkey(session, &length, &type) else {
            throw .connectionLost(.hostKey, reason: "the host proved no key")
        }
        let proved = HostKey(
            blob: Array(UnsafeRawBufferPointer(start: UnsafeRawPointer(key), count: length))
        )
        hostKey = "\(proved.type) \(proved.fingerprint)"
        return proved
    }

    /// A connection that ends before the banner is a busy sshd (MaxStartups), and that passes;
    /// anything readable is shown.
    ///
    /// A command that was to lead to the server and fails is not a busy sshd, and says why.
    ///
    /// - Returns: Nil until it is known how the command has ended.
    private func noBanner(_ status: Int32, said: String) -> TransportError? {
        guard wire.isAtEnd else { return error(status, .banner) }
        let complaint = said.isEmpty ? proxy?.complaint ?? "" : said
        if let proxy, proxy.watch >= 0 {
            guard let ending = proxy.ending else { return nil }
            if !ending.isSuccess {
                return .unreachable(
                    address: "the host by its proxy command",
                    reason: ending.text
                        + (complaint.isEmpty ? " without a word" : "; it said `\(complaint)`")
                )
            }
        }
        // OpenSSH 9.8 and newer; to try again at once makes it last longer.
        if complaint.contains(TransportError.penaltyWords) {
            return .unreachable(address: address, reason: TransportError.penalty)
        }
        let words = complaint.isEmpty ? "" : "; it said `\(complaint)`"
        return .connectionLost(.banner, reason: "closed by \(address) before its banner\(words)")
    }

    private func noHandshake(_ status: Int32) -> TransportError {
        let found = error(status, .handshake)
        let server = ServerOpening(wire.opening ?? [])
        switch found {
        case .noCommonAlgorithm: break
        // A server that has found none hangs up; which of the two shows first is chance.
        case .connectionLost where Algorithms.disagree(with: server, algorithms): break
        default: return found
        }
        return .noCommonAlgorithm(reason: Algorithms.disagreement(with: server, algorithms))
    }

    // MARK: Login

    /// Logs in with the first credential that the host takes, all attempts within a time.
    func authenticate(
        user: String,
        with credentials: Credentials,
        within milliseconds: Int,
        notice: @escaping @Sendable (String) -> Void = { _ in }
    ) async throws(TransportError) {
        let deadline = Reactor.now() + UInt64(milliseconds) * 1_000_000
        func left() -> Int { max(1, Int((Int64(deadline) - Int64(Reactor.now())) / 1_000_000)) }
        let banner =
            session.flatMap { libssh2_session_banner_get($0) }
            .map { String(cString: $0) } ?? ""
        var tried: [String] = []
        // A server that has refused as many keys as it counts hangs up on the next question; the
        // first one is free.
        var accepts: [String]?
        let keys = credentials.methods.contains(.publicKey) ? credentials.signers : []
        if credentials.methods.first != .publicKey
            || !(1..<CredentialStore.keyLimit).contains(keys.count)
        {
            accepts = try await acceptedMethods(user: user, within: left())
            if accepts == nil { return }
        }
        for method in credentials.methods {
            if method == .publicKey {
                for signer in keys {
                    let number = tried.count
                    tried.append("\(signer.type) \(signer.name)")
                    let blob = signer.offeredBlob(serverBanner: banner)
                    let problem: String?
                    do throws(TransportError) {
                        switch try await offer(
                            signer,
                            blob: blob,
                            user: user,
                            within: left(),
                            notice: notice
                        ) {
                        case .accepted: return
                        case .refused(let reason): problem = reason
                        }
                    } catch {
                        throw loss(of: error, after: tried)
                    }
                    if let problem { tried[number] += ", but \(problem)" }
                }
                continue
            }
            guard let password = credentials.password else { continue }
            if accepts == nil { accepts = try await acceptedMethods(user: user, within: left()) }
            guard let methods = accepts else { return }
            guard methods.contains(method.rawValue) else { continue }
            tried.append(method.rawValue)
            do throws(TransportError) {
                if method == .password {
                    if try await give(password, user: user, within: left()) { return }
                } else if try await answerPrompts(password, user: user, within: left()) {
                    return
                }
            } catch .connectionLost(_, let reason) {
                // Never given a second time: each one counts against the account (pam_faillock(8)).
                tried[tried.count - 1] +=
                    ", at which the connection ended (\(reason)): it is wrong, or the server has counted enough attempts "
                    + "(MaxAuthTries)"
                throw .authenticationDenied(
                    user: user,
                    tried: tried + credentials.problems,
                    accepts: methods
                )
            }
        }
        if accepts == nil { accepts = try await acceptedMethods(user: user, within: left()) }
        guard let methods = accepts else { return }
        throw .authenticationDenied(
            user: user,
            tried: tried + credentials.problems,
            accepts: methods
        )
    }

    /// A server that hangs up in the middle of a login: after as many keys as it counts, or for a reason of its own.
    private func loss(of error: TransportError, after tried: [String]) -> TransportError {
        guard case .connectionLost(let phase, let reason) = error else { return error }
        return .connectionLost(
            phase,
            reason: "\(reason) after \(tried.count) \(tried.count == 1 ? "key" : "keys") "
                + "(\(tried.joined(separator: ", "))); a server counts them (MaxAuthTries)"
        )
    }

    /// How long a signature is waited for in silence, in milliseconds.
    private static let patienceMilliseconds = 1_500

    private enum OfferAnswer {
        case accepted
        /// With the reason, if it was ours.
        case refused(String?)
    }

    private func offer(
        _ signer: Signer,
        blob: [UInt8],
        user: String,
        within milliseconds: Int,
        notice: @escaping @Sendable (String) -> Void
    ) async throws(TransportError) -> OfferAnswer {
        let reactor = reactor
        let answer = SigningAnswer()
        let signing = Signing(signer: signer) { [weak self] signature in
            guard let self else { return }
            reactor.post {
                self.assumeIsolated { session in
                    answer.signing?.answer(signature)
                    session.pump()
                }
            }
        }
        answer.signing = signing
        let patience = UInt64(Self.patienceMilliseconds) * 1_000_000
        let timer = reactor.schedule(at: Reactor.now() + patience) {
            guard answer.signing?.isWaiting ?? false else { return }
            notice(
                "waiting for the agent to sign with \(signer.name): it may want to be confirmed or touched"
            )
        }
        defer {
            reactor.unschedule(timer)
            // They hold each other.
            answer.signing = nil
        }
        let isAccepted = try await perform(.authentication, within: milliseconds) {
            () throws(TransportError) -> Bool? in
            var abstract: UnsafeMutableRawPointer? = Unmanaged.passUnretained(signing).toOpaque()
            let status = libssh2_userauth_publickey(
                self.session,
                user,
                blob,
                blob.count,
                Signing.callback,
                &abstract
            )
            return try self.verdict(on: status, user)
        }
        guard !isAccepted else { return .accepted }
        let problem = answer.signing?.problem
        return .refused(problem.map { "\(signer.isInAgent ? "the agent says: " : "")\($0)" })
    }

    /// Whether a login attempt succeeded; nil while it is under way.
    private func verdict(on status: Int32, _ user: String) throws(TransportError) -> Bool? {
        switch status {
        case Int32(LIBSSH2_ERROR_EAGAIN): return nil
        case 0: return true
        case Int32(LIBSSH2_ERROR_AUTHENTICATION_FAILED),
            Int32(LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED),
            Int32(LIBSSH2_ERROR_PUBLICKEY_UNRECOGNIZED),
            Int32(LIBSSH2_ERROR_PASSWORD_EXPIRED):
            // libssh2 calls it a refusal, too, when the other side has gone.
            if wire.isAtEnd, wire.incoming.count == 0 { throw error(status, .authentication) }
            // No answer came, and libssh2 has no other sign of it than these words (userauth.c of 1.10 and 1.11).
            if lastMessage.hasPrefix("Waiting for") { throw whyNoAnswer(user) }
            return false
        default: throw error(status, .authentication)
        }
    }

    /// Why a login was not answered: the server has said goodbye (SSH_MSG_DISCONNECT), or libssh2 cannot take what it says.
    ///
    /// The next question tells: after a goodbye libssh2 asks nothing any more.
    private func whyNoAnswer(_ user: String) -> TransportError {
        _ = libssh2_userauth_list(session, user, UInt32(user.utf8.count))
        let gone = [
            LIBSSH2_ERROR_SOCKET_DISCONNECT, LIBSSH2_ERROR_SOCKET_SEND, LIBSSH2_ERROR_SOCKET_RECV,
        ]
        if wire.isAtEnd || gone.contains(libssh2_session_last_errno(session)) {
            return error(Int32(LIBSSH2_ERROR_SOCKET_DISCONNECT), .authentication)
        }
        return .beyondClient(
            reason:
                "what \(address) says at the login is longer than libssh2 \(LibSSH2.version) takes, which is "
                + "usually a long banner (`Banner` in its sshd_config)"
        )
    }

    private func give(_ password: String, user: String, within milliseconds: Int)
        async throws(TransportError) -> Bool
    {
        try await perform(.authentication, within: milliseconds) {
            () throws(TransportError) -> Bool? in
            let status = libssh2_userauth_password_ex(
                self.session,
                user,
                UInt32(user.utf8.count),
                password,
                UInt32(password.utf8.count),
                nil
            )
            return try self.verdict(on: status, user)
        }
    }

    private func answerPrompts(_ password: String, user: String, within milliseconds: Int)
        async throws(TransportError) -> Bool
    {
        wire.loginAnswers = LoginAnswers(password: password)
        defer { wire.loginAnswers = nil }
        return try await perform(.authentication, within: milliseconds) {
            () throws(TransportError) -> Bool? in
            let status = libssh2_userauth_keyboard_interactive_ex(
                self.session,
                user,
                UInt32(user.utf8.count),
                LoginAnswers.callback
            )
            return try self.verdict(on: status, user)
        }
    }

    /// What the server takes; nil if it takes the bare name, and the user is logged in.
    ///
    /// The question is a login by the method `none` (RFC 4252, section 5.2).
    private func acceptedMethods(user: String, within milliseconds: Int)
        async throws(TransportError) -> [String]?
    {
        try await perform(.authentication, within: milliseconds) {
            () throws(TransportError) -> [String]?? in
            if let list = libssh2_userauth_list(self.session, user, UInt32(user.utf8.count)) {
                return .some(String(cString: list).split(separator: ",").map(String.init))
            }
            let status = libssh2_session_last_errno(self.session)
            if status == LIBSSH2_ERROR_EAGAIN { return nil }
            if libssh2_userauth_authenticated(self.session) == 1 { return .some(nil) }
            // The server may close instead of answering; what was refused is known all the same.
            return .some([])
        }
    }
}

/// Lets the agent's answer find the signature that waits for it.
///
/// `@unchecked Sendable`: set before the callback can run, then read on the reactor only.
private final class SigningAnswer: @unchecked Sendable {
    var signing: Signing?
}

/// What a host's questions at login are answered with (RFC 4256).
final class LoginAnswers {
    private var password: String?

    init(password: String) { self.password = password }

    /// The password to the first question that hides its answer, and nothing to any other: a host
    /// that asks again has refused it, and one that asks for more wants a person.
    private func answer(isHidden: Bool) -> String {
        guard isHidden, let password else { return "" }
        self.password = nil
        return password
    }

    static let callback:
        @convention(c) (
            UnsafePointer<CChar>?, Int32, UnsafePointer<CChar>?, Int32, Int32,
            UnsafePointer<LIBSSH2_USERAUTH_KBDINT_PROMPT>?,
            UnsafeMutablePointer<LIBSSH2_USERAUTH_KBDINT_RESPONSE>?,
            UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> Void = { _, _, _, _, count, prompts, responses, abstract in
            guard let answers = Wire.from(abstract)?.loginAnswers, let prompts, let responses else {
                return
            }
            for index in 0..<Int(count) {
                let text = answers.answer(isHidden: prompts[index].echo == 0)
                // libssh2 frees it with free().
                responses[index].text = strdup(text)
                responses[index].length = UInt32(text.utf8.count)
            }
        }
}
