# SPDX-License-Identifier: GPL-2.0
#
# Where QEMU enters the guest: 32-bit protected mode without paging, the address of hvm_start_info in
# ebx. Maps the first 64 TiB one to one, so that devices are reachable wherever the firmware put them,
# and calls guest_main(hvm_start_info) in long mode. Interrupts stay off for good.

.set PDPTS, 128				# tables of 512 GiB each

# QEMU reads the entry from the note as 64 bits.
.section .note.Xen, "a", @note
.balign 4
.long 4, 8, 18				# sizes of name and value; XEN_ELFNOTE_PHYS32_ENTRY
.asciz "Xen"
.quad pvh_entry

.section .text.entry, "ax", @progbits
.code32
.global pvh_entry
pvh_entry:
	cli
	cld
	mov esp, offset boot_stack_top
	mov ebp, ebx			# cpuid writes ebx
	mov eax, 0x80000001
	cpuid
	bt edx, 26			# pages of 1 GiB
	jnc 5f

	mov edi, offset boot_pdpts
	xor ecx, ecx
1:	mov eax, ecx			# entry ecx maps address ecx << 30
	shl eax, 30
	or eax, 0x83			# present, writable, large
	mov [edi + ecx * 8], eax
	mov eax, ecx
	shr eax, 2
	mov [edi + ecx * 8 + 4], eax
	inc ecx
	cmp ecx, PDPTS * 512
	jne 1b

	mov eax, offset boot_pdpts + 3	# present, writable
	mov edi, offset boot_pml4
	mov ecx, PDPTS
2:	mov [edi], eax
	add eax, 4096
	add edi, 8
	dec ecx
	jnz 2b

	mov eax, offset boot_pml4
	mov cr3, eax
	mov eax, cr4
	or eax, 0x620			# PAE, and SSE: the core library is compiled for it
	mov cr4, eax
	mov ecx, 0xc0000080		# EFER
	rdmsr
	or eax, 0x100			# long mode
	wrmsr
	mov eax, cr0
	and eax, 0xfffffff3		# no FPU emulation, no trap on its use
	or eax, 0x80000023		# paging, protection, FPU
	mov cr0, eax
	lgdt [boot_gdt_pointer]
	push 0x08
	mov eax, offset long_entry
	push eax
	retf

5:	mov esi, offset boot_no_pages
	mov dx, 0x3f8
6:	lodsb
	test al, al
	jz 7f
	out dx, al
	jmp 6b
7:	mov al, 1
	out 0xf4, al
8:	hlt
	jmp 8b

.code64
long_entry:
	mov ax, 0x10
	mov ds, ax
	mov es, ax
	mov ss, ax
	xor eax, eax
	mov fs, ax
	mov gs, ax
	mov rsp, offset boot_stack_top
	mov edi, ebp
	call guest_main
	ud2

.section .rodata.entry, "a", @progbits
.balign 8
boot_gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_gdt_pointer:
	.word boot_gdt_pointer - boot_gdt - 1
	.long boot_gdt
boot_no_pages:
	.asciz "error: the processor has no pages of 1 GiB\n"

.section .bss.entry, "aw", @nobits
.balign 4096
boot_pml4:
	.skip 4096
boot_pdpts:
	.skip PDPTS * 4096
	.skip 256 * 1024
boot_stack_top:
