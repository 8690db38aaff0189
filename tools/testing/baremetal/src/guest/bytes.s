# SPDX-License-Identifier: GPL-2.0
#
# What compiled code calls to move bytes, and no C library is there to offer. In assembler: a compiler
# may turn a loop that copies bytes into a call of the function that the loop is in.

.section .text.bytes, "ax", @progbits

.global memcpy
memcpy:
	mov rax, rdi
	mov rcx, rdx
	rep movsb
	ret

.global memmove
memmove:
	mov rax, rdi
	mov rcx, rdx
	mov r8, rdi
	sub r8, rsi
	cmp r8, rdx			# unsigned: true also where the target lies below
	jb 1f
	rep movsb
	ret
1:	lea rdi, [rdi + rdx - 1]
	lea rsi, [rsi + rdx - 1]
	std
	rep movsb
	cld
	ret

.global memset
memset:
	mov r8, rdi
	mov eax, esi
	mov rcx, rdx
	rep stosb
	mov rax, r8
	ret

.global memcmp
.global bcmp
memcmp:
bcmp:
	mov rcx, rdx
	xor eax, eax			# also sets "equal", for no bytes at all
	repe cmpsb
	je 1f
	movzx eax, byte ptr [rdi - 1]
	movzx ecx, byte ptr [rsi - 1]
	sub eax, ecx
1:	ret

# The precompiled alloc library is made for programs that unwind. This one ends at a panic, so nobody
# gets here.
.global rust_eh_personality
.global _Unwind_Resume
rust_eh_personality:
_Unwind_Resume:
	ud2
