/* SPDX-License-Identifier: MIT */
#pragma once

/* MESSAGE_ID= of the journal lines that an operator acts on. Each has an entry in catalog/northflare.catalog and a
 * line in docs; a test holds the three lists together. */

#define NF_MESSAGE_REGISTERED "1c0a54b4a2d14f6a8f0c5c0e53b9a1d1"
#define NF_MESSAGE_OFFLINE "5b8f3f4e0a9d4a6fb7a4ad1ef2d7c3e2"
#define NF_MESSAGE_REFUSED "9e7d2c815b3f4b0e8ad1c7a6f0e4b593"
#define NF_MESSAGE_CONVERSATION_STARTED "3d6c1b7f9a2e4c58b1f0d3e7a9c5f204"
#define NF_MESSAGE_CONVERSATION_ENDED "7a4e9d20c6b14d3fa8e5b2c1f7d09316"
#define NF_MESSAGE_CONVERSATION_FAILED "b2f7c5e81d9a4e06937ad4c0e6f1b827"
#define NF_MESSAGE_STORE_DAMAGED "a95d31c07ef84b6c8d2f6e1b40c7395f"
#define NF_MESSAGE_DISK_LOW "4f0c9a6e2b7d4d1c93e5a8f1d60b72ce"
#define NF_MESSAGE_MACHINE_BUSY "d27b5a904c1e4f7c8e60b93fa1d8c546"
#define NF_MESSAGE_PERMISSION_ANSWERED "c8e1a6d39f074b52a0b6f3d7e2c9a438"
#define NF_MESSAGE_LIMIT_HIT "4d0e7c92ab5f4b1c9e63f8d1a7205bc4"
#define NF_MESSAGE_LIMIT_MISSING "e1937fb25c6048d7a2f40d8e96b3c75a"
#define NF_MESSAGE_LIMITS_ASKED "0f6b3c94d7a84e25b1c86ed2934f7a50"
#define NF_MESSAGE_CALL "5c2ad70e81f94b3696d3b47f0ae1c8d2"
#define NF_MESSAGE_CALL_REFUSED "d3918e6b4c2f4f07a5b0712fe6cd4a93"
#define NF_MESSAGE_LIMITS_CHANGED "86b2d5f0c3e74a919f1ad07e5c42b83d"
#define NF_MESSAGE_USER_MODE "d05e27b1f98c4a63b7e1c4085d92fa36"
