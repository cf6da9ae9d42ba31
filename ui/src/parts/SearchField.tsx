import { TextInput, type TextInputProps } from "@mantine/core"
import { useDebouncedCallback } from "@mantine/hooks"
import { IconSearch } from "@tabler/icons-react"
import { useEffect, useRef, useState } from "react"

const PAUSE = 150 // ms

interface Props extends Omit<TextInputProps, "value" | "onChange"> {
  label: string
  value: string
  onChange: (value: string) => void
}

/** A page's search field (`/` leads to it). What is typed stays as it is typed: the address, where it is kept, follows
 * a moment later. */
export function SearchField({ label, value, onChange, ...rest }: Props) {
  const [typed, setTyped] = useState(value)
  const told = useRef(value)
  const tell = useDebouncedCallback((text: string) => {
    told.current = text
    onChange(text)
  }, PAUSE)
  useEffect(() => {
    if (value !== told.current) setTyped(value) // changed elsewhere: somebody went back
    told.current = value
  }, [value])
  return (
    <TextInput
      type="search"
      aria-label={label}
      placeholder={label}
      leftSection={<IconSearch size={14} />}
      value={typed}
      onChange={(event) => {
        setTyped(event.currentTarget.value)
        tell(event.currentTarget.value)
      }}
      data-search
      {...rest}
    />
  )
}
