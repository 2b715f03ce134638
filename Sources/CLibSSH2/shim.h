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
#include <unistd.h>

// OpenSSL takes itself apart when exit() begins, unless the first call to it says otherwise.
static inline void fleet_keep_openssl(void) { OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL); }

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

static inline int fleet_sha1(const void *data, size_t length, unsigned char *out) {
    return EVP_Digest(data, length, out, 0, EVP_sha1(), 0) == 1 ? 0 : -1;
}

// PEM or PKCS8. Without a passphrase OpenSSL must not prompt: it fails.
static int fleet_passphrase(char *buffer, int size, int writing, void *passphrase) {
    (void)writing;
    int length = passphrase ? (int)strlen((const char *)passphrase) : -1;
    if (length < 0 || length > size) return -1;
    memcpy(buffer, passphrase, (size_t)length);
    return length;
}
static inline EVP_PKEY *fleet_key_from_pem(const void *pem, int length, const char *passphrase) {
    BIO *bio = BIO_new_mem_buf(pem, length);
    if (!bio) return 0;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, 0, fleet_passphrase, (void *)passphrase);
    BIO_free(bio);
    return key;
}

// Decrypts with a cipher by OpenSSL's name. `tag` is NULL, or the 16 bytes of an AEAD.
static inline int fleet_decrypt(const char *cipher, const unsigned char *key,
                                const unsigned char *iv, const unsigned char *in, int length,
                                const unsigned char *tag, unsigned char *out) {
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const EVP_CIPHER *algorithm = EVP_get_cipherbyname(cipher);
    int written = 0, rest = 0;
    int ok = context && algorithm && EVP_DecryptInit_ex(context, algorithm, 0, key, iv) > 0
        && EVP_CIPHER_CTX_set_padding(context, 0) > 0
        && EVP_DecryptUpdate(context, out, &written, in, length) > 0
        && (!tag
            || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, (void *)tag) > 0)
        && EVP_DecryptFinal_ex(context, out + written, &rest) > 0;
    EVP_CIPHER_CTX_free(context);
    return ok ? 0 : -1;
}

// The first bits of pi's fraction, by Machin: pi = 16 arctan(1/5) - 4 arctan(1/239).
static inline int fleet_add_arctan(BIGNUM *sum, unsigned long inverse, unsigned long factor,
                                   int negative, int bits) {
    BIGNUM *power = BN_new(), *term = BN_new();
    int ok = power && term && BN_one(power) && BN_lshift(power, power, bits)
        && BN_mul_word(power, factor) && BN_div_word(power, inverse) != (BN_ULONG)-1;
    for (unsigned long n = 1; ok && !BN_is_zero(power); n += 2, negative = !negative) {
        ok = BN_copy(term, power) && BN_div_word(term, n) != (BN_ULONG)-1
            && (negative ? BN_sub(sum, sum, term) : BN_add(sum, sum, term))
            && BN_div_word(power, inverse * inverse) != (BN_ULONG)-1;
    }
    BN_free(power);
    BN_free(term);
    return ok;
}
static inline int fleet_pi_words(unsigned int *words, int count) {
    const int guard = 64;
    BIGNUM *sum = BN_new();
    int ok = sum && fleet_add_arctan(sum, 5, 16, 0, count * 32 + guard)
        && fleet_add_arctan(sum, 239, 4, 1, count * 32 + guard) && BN_rshift(sum, sum, guard)
        && BN_mask_bits(sum, count * 32);
    unsigned char *bytes = ok ? (unsigned char *)malloc((size_t)count * 4) : 0;
    ok = bytes && BN_bn2binpad(sum, bytes, count * 4) == count * 4;
    for (int i = 0; ok && i < count; i++)
        words[i] = (unsigned)bytes[i * 4] << 24 | bytes[i * 4 + 1] << 16 | bytes[i * 4 + 2] << 8
            | bytes[i * 4 + 3];
    free(bytes);
    BN_free(sum);
    return ok ? 0 : -1;
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

