// What Swift cannot import by itself: macros, callback casts, and the few libcrypto calls we use.
#pragma once
#include <libssh2.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

typedef ssize_t (*fleet_recv)(int sock, void *buffer, size_t length, int flags, void **abstract);
typedef ssize_t (*fleet_send)(int sock, const void *buffer, size_t length, int flags,
                              void **abstract);

// A non-blocking session whose bytes go through our own two functions, never to a socket.
static inline LIBSSH2_SESSION *fleet_session_init(void *abstract, fleet_send send,
                                                  fleet_recv recv) {
    LIBSSH2_SESSION *session = libssh2_session_init_ex(0, 0, 0, abstract);
    if (!session) return 0;
    libssh2_session_set_blocking(session, 0);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_SEND, (void *)send);
    libssh2_session_callback_set(session, LIBSSH2_CALLBACK_RECV, (void *)recv);
#pragma GCC diagnostic pop
    return session;
}

static inline const char *fleet_openssl_version(void) { return OpenSSL_version(OPENSSL_VERSION); }

static inline int fleet_hmac_sha1(const void *key, int key_length, const unsigned char *data,
                                  size_t length, unsigned char *out) {
    unsigned int out_length = 20;
    return HMAC(EVP_sha1(), key, key_length, data, length, out, &out_length) ? 0 : -1;
}

// PEM or PKCS8. A passphrase of NULL never prompts: it fails.
static int fleet_no_passphrase(char *buffer, int size, int writing, void *user) {
    (void)buffer; (void)size; (void)writing; (void)user;
    return -1;
}
static inline EVP_PKEY *fleet_key_from_pem(const void *pem, int length) {
    BIO *bio = BIO_new_mem_buf(pem, length);
    if (!bio) return 0;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, 0, fleet_no_passphrase, 0);
    BIO_free(bio);
    return key;
}

static inline EVP_PKEY *fleet_key_from_ed25519(const unsigned char *seed) {
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, 0, seed, 32);
}

static inline EVP_PKEY *fleet_key_from_parameters(const char *type, OSSL_PARAM_BLD *builder) {
    EVP_PKEY *key = 0;
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(0, type, 0);
    if (parameters && context && EVP_PKEY_fromdata_init(context) > 0)
        if (EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, parameters) <= 0) key = 0;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    return key;
}

static inline EVP_PKEY *fleet_key_from_ecdsa(const char *curve, const unsigned char *point,
                                             size_t point_length, const unsigned char *scalar,
                                             int scalar_length) {
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *d = BN_bin2bn(scalar, scalar_length, 0);
    EVP_PKEY *key = 0;
    if (builder && d && OSSL_PARAM_BLD_push_utf8_string(builder, "group", curve, 0)
        && OSSL_PARAM_BLD_push_octet_string(builder, "pub", point, point_length)
        && OSSL_PARAM_BLD_push_BN(builder, "priv", d))
        key = fleet_key_from_parameters("EC", builder);
    BN_clear_free(d);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static inline EVP_PKEY *fleet_key_from_rsa(const unsigned char *n, int n_length,
                                           const unsigned char *e, int e_length,
                                           const unsigned char *d, int d_length) {
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *bn = BN_bin2bn(n, n_length, 0), *be = BN_bin2bn(e, e_length, 0),
           *bd = BN_bin2bn(d, d_length, 0);
    EVP_PKEY *key = 0;
    if (builder && bn && be && bd && OSSL_PARAM_BLD_push_BN(builder, "n", bn)
        && OSSL_PARAM_BLD_push_BN(builder, "e", be) && OSSL_PARAM_BLD_push_BN(builder, "d", bd))
        key = fleet_key_from_parameters("RSA", builder);
    BN_free(bn); BN_free(be); BN_clear_free(bd);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

// One-shot signature. `digest` is NULL for Ed25519. The result is malloc'ed, as libssh2 wants it.
static inline int fleet_sign(EVP_PKEY *key, const char *digest, const unsigned char *data,
                             size_t length, unsigned char **out, size_t *out_length) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    *out = 0;
    int ok = context
        && EVP_DigestSignInit(context, 0, digest ? EVP_get_digestbyname(digest) : 0, 0, key) > 0
        && EVP_DigestSign(context, 0, out_length, data, length) > 0;
    if (ok) {
        *out = (unsigned char *)malloc(*out_length);
        ok = *out && EVP_DigestSign(context, *out, out_length, data, length) > 0;
    }
    EVP_MD_CTX_free(context);
    return ok ? 0 : -1;
}

// The raw public point or key, for the public blob of a key that came from PEM.
static inline int fleet_key_octets(EVP_PKEY *key, const char *name, unsigned char *out,
                                   size_t size, size_t *written) {
    return EVP_PKEY_get_octet_string_param(key, name, out, size, written) > 0 ? 0 : -1;
}
static inline int fleet_key_text(EVP_PKEY *key, const char *name, char *out, size_t size) {
    size_t written = 0;
    return EVP_PKEY_get_utf8_string_param(key, name, out, size, &written) > 0 ? 0 : -1;
}
// Big-endian magnitude; returns its length or -1.
static inline int fleet_key_number(EVP_PKEY *key, const char *name, unsigned char *out, int size) {
    BIGNUM *number = 0;
    int length = -1;
    if (EVP_PKEY_get_bn_param(key, name, &number) > 0 && BN_num_bytes(number) <= size)
        length = BN_bn2bin(number, out);
    BN_clear_free(number);
    return length;
}
static inline int fleet_key_kind(EVP_PKEY *key) { return EVP_PKEY_get_base_id(key); }
