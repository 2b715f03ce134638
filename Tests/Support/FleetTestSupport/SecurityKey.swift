import Foundation

/// A FIDO key without hardware: a middleware of OpenSSH's (PROTOCOL.u2f, sk-api.h of OpenSSH 9), whose key handle is the
/// private key itself and which nobody has to touch.
public struct SecurityKey: Sendable {
    /// The library, for `SSH_SK_PROVIDER`.
    public let library: String

    /// Builds it in a directory.
    ///
    /// - Throws: ``Command/Failed`` with the compiler's words.
    public init(in directory: String) throws {
        library = directory + "/libsk.so"
        try Self.source.write(toFile: directory + "/sk.c", atomically: true, encoding: .utf8)
        try Command.shell("gcc -shared -fPIC -O1 -o libsk.so sk.c -lcrypto", in: directory)
    }

    private static let source = #"""
        #include <openssl/evp.h>
        #include <openssl/sha.h>
        #include <stdint.h>
        #include <stdlib.h>
        #include <string.h>

        struct enrolled {
            uint8_t flags;
            uint8_t *key; size_t key_length;
            uint8_t *handle; size_t handle_length;
            uint8_t *signature; size_t signature_length;
            uint8_t *certificate; size_t certificate_length;
            uint8_t *data; size_t data_length;
        };
        struct signature {
            uint8_t flags;
            uint32_t counter;
            uint8_t *r; size_t r_length;
            uint8_t *s; size_t s_length;
        };

        uint32_t sk_api_version(void) { return 0x000a0000; }

        int sk_enroll(uint32_t kind, const uint8_t *challenge, size_t challenge_length, const char *application,
                      uint8_t flags, const char *pin, void **options, struct enrolled **out) {
            if (kind != 1) return -2;
            EVP_PKEY *key = EVP_PKEY_Q_keygen(0, 0, "ED25519");
            struct enrolled *made = calloc(1, sizeof *made);
            made->flags = flags;
            made->key = calloc(1, made->key_length = 32);
            made->handle = calloc(1, made->handle_length = 32);
            made->signature = calloc(1, made->signature_length = 64);
            if (!key || EVP_PKEY_get_raw_public_key(key, made->key, &made->key_length) != 1
                || EVP_PKEY_get_raw_private_key(key, made->handle, &made->handle_length) != 1)
                return -1;
            EVP_PKEY_free(key);
            *out = made;
            return 0;
        }

        int sk_sign(uint32_t kind, const uint8_t *data, size_t length, const char *application,
                    const uint8_t *handle, size_t handle_length, uint8_t flags, const char *pin, void **options,
                    struct signature **out) {
            if (kind != 1 || handle_length != 32) return -2;
            uint8_t text[69], raw[64];
            SHA256((const uint8_t *)application, strlen(application), text);
            text[32] = flags;
            text[33] = text[34] = text[35] = 0;
            text[36] = 7;
            SHA256(data, length, text + 37);
            EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, 0, handle, 32);
            EVP_MD_CTX *context = EVP_MD_CTX_new();
            size_t size = sizeof raw;
            if (!key || EVP_DigestSignInit(context, 0, 0, 0, key) != 1
                || EVP_DigestSign(context, raw, &size, text, sizeof text) != 1)
                return -1;
            EVP_MD_CTX_free(context);
            EVP_PKEY_free(key);
            struct signature *made = calloc(1, sizeof *made);
            made->flags = flags;
            made->counter = 7;
            made->r = calloc(1, made->r_length = 64);
            memcpy(made->r, raw, 64);
            *out = made;
            return 0;
        }

        int sk_load_resident_keys(const char *pin, void **options, void ***keys, size_t *count) {
            *count = 0;
            return -2;
        }
        """#
}
