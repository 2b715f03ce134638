import Testing

@testable import FleetSSH

struct WindowTests {
    @Test("H20: many sessions share what one alone may keep of a host's output")
    func windows() {
        #expect(SSHSession.windowBytes(sharedBy: 1) == 512 << 10)
        #expect(SSHSession.windowBytes(sharedBy: 100) == UInt32((16 << 20) / 100))
        #expect(SSHSession.windowBytes(sharedBy: 5_000) == 64 << 10)
    }
}
