internal import CLibSSH2
internal import FleetReactor

/// A credential that proves itself by a signature: a key of our own, or one that the agent holds.
struct Signer: Sendable {
    enum Source: Sendable {
        case key(PrivateKey)
        case agent(Agent)
    }

    let source: Source
    /// The public half as it stands on the wire.
    let publicBlob: [UInt8]
    /// How people know it: the file, or the agent's comment.
    let name: String
    /// The plain key, where `publicBlob` is a certificate for it: agents sign by that.
    var key: [UInt8]?

    /// Whether an agent signs.
    var isInAgent: Bool { if case .agent = source { true } else { false } }

    /// The blob's own type.
    var type: String { HostKey(blob: publicBlob).type }

    /// The blob under which libssh2 offers the key.
    ///
    /// libssh2 1.10 signs RSA keys with SHA-1 only, which sshd refuses since 8.8. With the type in
    /// the blob rewritten to `rsa-sha2-512`, OpenSSH servers take the signature (measured).
    func offeredBlob(serverBanner: String) -> [UInt8] {
        guard type == "ssh-rsa", !LibSSH2.isModern, serverBanner.contains("OpenSSH_") else {
            return publicBlob
        }
        var reader = WireFormatReader(publicBlob)
        guard reader.string() != nil, let e = reader.string(), let n = reader.string() else {
            return publicBlob
        }
        var writer = WireFormatWriter()
        writer.text("rsa-sha2-512")
        writer.string(e)
        writer.string(n)
        return writer.bytes
    }

    /// The algorithm that the data to be signed names (RFC 4252, section 7): its fifth field.
    static func algorithm(in data: [UInt8]) -> String {
        var reader = WireFormatReader(data)
        guard reader.string() != nil, reader.byte() != nil, reader.string() != nil,
            reader.string() != nil, reader.string() != nil, reader.byte() != nil
        else { return "" }
        return reader.text() ?? ""
    }

    /// The raw signature over data; blocks if the agent has to be asked.
    ///
    /// - Throws: ``Agent/Problem``.
    func sign(_ data: [UInt8]) throws(Agent.Problem) -> [UInt8] {
        let algorithm = Self.algorithm(in: data)
        switch source {
        case .key(let key):
            var digest: String?
            switch key.kind {
            case .ed25519: digest = nil
            case .ecdsa(_, let name): digest = name
            case .rsa:
                digest = ["rsa-sha2-512": "SHA512", "rsa-sha2-256": "SHA256"][algorithm] ?? "SHA1"
            }
            guard let signature = data.withUnsafeBytes({ key.sign($0, digest: digest) }) else {
                throw Agent.Problem(reason: "it cannot sign \(algorithm)")
            }
            return signature
        case .agent(let agent):
            let flags: UInt32 = ["rsa-sha2-512": 4, "rsa-sha2-256": 2][algorithm] ?? 0
            // An agent lists a certificate beside its key, or the key alone.
            return try agent.sign(data, with: key ?? publicBlob, flags: flags)
        }
    }
}

/// One signature that libssh2 is waiting for; confined to the session's reactor.
final class Signing {
    let signer: Signer
    typealias Answer = Result<[UInt8], Agent.Problem>

    /// Called on the reactor when a signature that had to be waited for has come.
    let resume: @Sendable (Answer) -> Void
    private var state = State.idle

    private enum State {
        case idle
        case asked
        case answered(Answer)
    }

    init(signer: Signer, resume: @escaping @Sendable (Answer) -> Void) {
        self.signer = signer
        self.resume = resume
    }

    func answer(_ signature: Answer) { state = .answered(signature) }

    /// Whether somebody is asked for a signature and has not given it yet.
    var isWaiting: Bool { if case .asked = state { true } else { false } }

    /// Why there was no signature; nil where there was one, or none was needed.
    var problem: String? {
        if case .answered(.failure(let problem)) = state { problem.reason } else { nil }
    }

    private static func sign(_ data: [UInt8], by signer: Signer) -> Answer {
        do throws(Agent.Problem) { return .success(try signer.sign(data)) } catch {
            return .failure(error)
        }
    }

    /// libssh2 repeats a call that its callback answered with EAGAIN; the agent is asked in between.
    private func signature(for data: UnsafeBufferPointer<UInt8>) -> (Int32, [UInt8]?) {
        switch state {
        case .answered(.success(let signature)): return (0, signature)
        case .answered(.failure): return (-1, nil)
        case .asked:
            return (Int32(LIBSSH2_ERROR_EAGAIN), nil)
        case .idle:
            let copy = Array(data)
            if case .key = signer.source {
                state = .answered(Self.sign(copy, by: signer))
                return self.signature(for: data)
            }
            state = .asked
            let signer = signer
            let resume = resume
            BlockingQueue.shared.perform { resume(Self.sign(copy, by: signer)) }
            return (Int32(LIBSSH2_ERROR_EAGAIN), nil)
        }
    }

    static let callback:
        @convention(c) (
            OpaquePointer?, UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?,
            UnsafeMutablePointer<Int>?, UnsafePointer<UInt8>?, Int,
            UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> Int32 = { _, output, outputLength, data, length, abstract in
            guard let pointer = abstract?.pointee else { return -1 }
            let signing = Unmanaged<Signing>.fromOpaque(pointer).takeUnretainedValue()
            let (status, signature) = signing.signature(
                for: UnsafeBufferPointer(start: data, count: length)
            )
            guard status == 0, let signature else { return status }
            // libssh2 frees it with free().
            guard let memory = malloc(signature.count) else { return -1 }
            signature.withUnsafeBytes { bytes in
                if let base = bytes.baseAddress { memcpy(memory, base, bytes.count) }
            }
            output?.pointee = memory.assumingMemoryBound(to: UInt8.self)
            outputLength?.pointee = signature.count
            return 0
        }
}
